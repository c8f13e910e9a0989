#include "text/fingerprint.h"

#include <string_view>

#include "base/hash.h"
#include "text/pre_tokenizer_rules.h"

namespace longspan {
namespace {

// Adds the length first, so that no two lists of strings give the same bytes.
void Add(Hash64& hash, std::string_view text) {
  hash.Add(text.size());
  hash.Update(text);
}

void AddBpe(Hash64& hash, const Vocabulary& vocabulary) {
  const PreTokenizerRule& rule = FindPreTokenizerRule(vocabulary.pre);
  hash.Add(rule.stages.size());
  for (const std::string_view stage : rule.stages) Add(hash, stage);
  hash.Add(rule.takes_whole_words);
  hash.Add(vocabulary.merges.size());
  for (const std::string& merge : vocabulary.merges) Add(hash, merge);
}

void AddSpm(Hash64& hash, const Vocabulary& vocabulary) {
  hash.Add(vocabulary.unknown);
  hash.Add(vocabulary.add_space_prefix);
  hash.Add(vocabulary.scores.size());
  for (const float score : vocabulary.scores) hash.Add(score);
}

}  // namespace

std::uint64_t Fingerprint(const Vocabulary& vocabulary) {
  // Names every field, so that a new one does not compile before somebody decides whether it counts.
  [[maybe_unused]] const auto& [kind, pre, tokens, scores, kinds, merges, bos, eos, unknown, eot, pad,
                                add_bos, add_eos, add_space_prefix, chat_template, edges, warnings] =
      vocabulary;
  Hash64 hash;
  hash.Add(kind);
  hash.Add(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    Add(hash, tokens[id]);
    hash.Add(vocabulary.KindOf(static_cast<std::int32_t>(id)));
  }
  hash.Add(edges.size());
  for (const auto& [id, edge] : edges) {
    hash.Add(id);
    hash.Add(edge.lstrip);
    hash.Add(edge.rstrip);
    hash.Add(edge.single_word);
  }
  kind == Vocabulary::Kind::kBpe ? AddBpe(hash, vocabulary) : AddSpm(hash, vocabulary);
  return hash.value();
}

}  // namespace longspan
