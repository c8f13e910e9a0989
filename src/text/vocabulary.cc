#include "text/vocabulary.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "text/byte_alphabet.h"

namespace longspan {
namespace {

// Refuses byte-level BPE without merges, which cuts every word into bytes, so that a model reads nonsense.
void CheckMerges(const Vocabulary& vocabulary, std::string_view name) {
  if (vocabulary.kind != Vocabulary::Kind::kBpe || !vocabulary.merges.empty()) return;
  for (std::int32_t id = 0; std::cmp_less(id, vocabulary.tokens.size()); ++id) {
    if (vocabulary.KindOf(id) != TokenKind::kNormal) continue;
    if (FromByteAlphabet(vocabulary.tokens[id]).size() < 2) continue;
    Fail(ErrorKind::kInvalidFile,
         "{}: byte-level BPE of {} tokens without merges (GGUF's tokenizer.ggml.merges), which would cut "
         "every word into bytes; convert the model again from its original",
         name, vocabulary.tokens.size());
  }
}

}  // namespace

void CheckVocabulary(const Vocabulary& vocabulary, std::string_view name) {
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0) Fail(ErrorKind::kInvalidFile, "{}: the vocabulary has no tokens", name);
  if (size > std::numeric_limits<std::int32_t>::max()) {
    Fail(ErrorKind::kInvalidFile, "{}: {} tokens are more than ids can count", name, size);
  }
  const auto check_length = [&](const char* what, std::size_t length) {
    if (length == 0 || length == size) return;
    Fail(ErrorKind::kInvalidFile, "{}: {} {} for {} tokens", name, length, what, size);
  };
  check_length("scores", vocabulary.scores.size());
  check_length("token types", vocabulary.kinds.size());
  const auto check_id = [&](const char* what, std::int32_t id) {
    if (id >= -1 && id < static_cast<std::int64_t>(size)) return;
    Fail(ErrorKind::kInvalidFile, "{}: the {} token's id is {}, of {} tokens", name, what, id, size);
  };
  check_id("bos", vocabulary.bos);
  check_id("eos", vocabulary.eos);
  check_id("unknown", vocabulary.unknown);
  check_id("eot", vocabulary.eot);
  check_id("padding", vocabulary.pad);
  for (const auto& [id, edges] : vocabulary.edges) check_id("stripping", id);
  CheckMerges(vocabulary, name);
}

std::int32_t KnownIdOrNone(Vocabulary& vocabulary, std::int64_t id, std::string_view what,
                           std::string_view name) {
  if (id >= 0 && std::cmp_less(id, vocabulary.tokens.size())) return static_cast<std::int32_t>(id);
  vocabulary.warnings.push_back(
      fmt::format("{}: the {} token's id is {}, of {} tokens: there is no such token", name, what, id,
                  vocabulary.tokens.size()));
  return -1;
}

}  // namespace longspan
