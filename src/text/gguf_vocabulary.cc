#include "text/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

using Strings = std::span<const std::string_view>;

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kKinds = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
constexpr const char* kAddEos = "tokenizer.ggml.add_eos_token";
constexpr const char* kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
constexpr const char* kChatTemplate = "tokenizer.chat_template";

// longspan's own keys, lists of ids, for what Hugging Face knows of added tokens and GGUF has no key for.
struct EdgeKey {
  const char* key;
  bool TokenEdges::*flag;
};
constexpr std::array kEdgeKeys = {
    EdgeKey{"longspan.tokenizer.lstrip_token_ids", &TokenEdges::lstrip},
    EdgeKey{"longspan.tokenizer.rstrip_token_ids", &TokenEdges::rstrip},
    EdgeKey{"longspan.tokenizer.single_word_token_ids", &TokenEdges::single_word},
};

struct SpecialKey {
  const char* key;
  std::int32_t Vocabulary::*id;
  const char* dispensable = nullptr;  // its role, if a model runs without it
};
constexpr std::array kSpecialKeys = {
    SpecialKey{"tokenizer.ggml.bos_token_id", &Vocabulary::bos},
    SpecialKey{"tokenizer.ggml.eos_token_id", &Vocabulary::eos},
    SpecialKey{"tokenizer.ggml.unknown_token_id", &Vocabulary::unknown, "unknown"},
    SpecialKey{"tokenizer.ggml.padding_token_id", &Vocabulary::pad, "padding"},
    SpecialKey{"tokenizer.ggml.eot_token_id", &Vocabulary::eot, "end-of-turn"},
};

Vocabulary::Kind KindOf(std::string_view model, const std::string& source) {
  if (model == "gpt2") return Vocabulary::Kind::kBpe;
  if (model == "llama") return Vocabulary::Kind::kSpm;
  Fail(ErrorKind::kUnsupported, "{}: {} is \"{}\"; gpt2 and llama are supported", source, kModel,
       Printable(model));
}

std::vector<std::string> Copies(Strings views) { return {views.begin(), views.end()}; }

std::vector<TokenKind> ReadKinds(const GgufMetadata& metadata) {
  std::vector<TokenKind> kinds;
  const auto stored = metadata.Find<std::vector<std::int32_t>>(kKinds);
  if (!stored) return kinds;
  for (const std::int32_t kind : *stored) {
    // 0 is "undefined", which some converters wrote for ordinary tokens.
    if (kind < 0 || kind > static_cast<std::int32_t>(TokenKind::kByte)) {
      Fail(ErrorKind::kInvalidFile, "{}: {} holds {}, expected 1 to 6", metadata.source(), kKinds, kind);
    }
    kinds.push_back(kind == 0 ? TokenKind::kNormal : static_cast<TokenKind>(kind));
  }
  return kinds;
}

void ReadEdges(const GgufMetadata& metadata, Vocabulary& vocabulary) {
  for (const auto& [key, flag] : kEdgeKeys) {
    const auto ids = metadata.Find<std::vector<std::int32_t>>(key);
    if (!ids) continue;
    for (const std::int32_t id : *ids) {
      if (id < 0 || std::cmp_greater_equal(id, vocabulary.tokens.size())) {
        Fail(ErrorKind::kInvalidFile, "{}: {} holds {}, of {} tokens", metadata.source(), key, id,
             vocabulary.tokens.size());
      }
      vocabulary.edges[id].*flag = true;
    }
  }
}

void WriteEdges(const Vocabulary& vocabulary, GgufMetadata& metadata) {
  for (const auto& [key, flag] : kEdgeKeys) {
    std::vector<std::int32_t> ids;
    for (const auto& [id, edges] : vocabulary.edges) {
      if (edges.*flag) ids.push_back(id);
    }
    if (!ids.empty()) metadata.Set(key, std::move(ids));
  }
}

}  // namespace

Vocabulary ReadVocabulary(const GgufMetadata& metadata) {
  Vocabulary vocabulary;
  vocabulary.kind = KindOf(metadata.Get<std::string_view>(kModel), metadata.source());
  const bool spm = vocabulary.kind == Vocabulary::Kind::kSpm;
  vocabulary.pre = metadata.Find<std::string>(kPre).value_or("");
  vocabulary.tokens = Copies(metadata.Get<Strings>(kTokens));
  vocabulary.scores = metadata.Find<std::vector<float>>(kScores).value_or(std::vector<float>());
  vocabulary.kinds = ReadKinds(metadata);
  vocabulary.merges = Copies(metadata.Find<Strings>(kMerges).value_or(Strings()));
  for (const SpecialKey& special : kSpecialKeys) {
    // An id that does not fit is as wrong as one beyond the vocabulary. Some files store -1 as 2^32 - 1.
    const std::int64_t id = metadata.Find<std::int64_t>(special.key).value_or(-1);
    if (id == 0xFFFFFFFF) continue;
    if (special.dispensable != nullptr && id != -1)
      vocabulary.*special.id = KnownIdOrNone(vocabulary, id, special.dispensable, metadata.source());
    else
      vocabulary.*special.id = std::in_range<std::int32_t>(id) ? static_cast<std::int32_t>(id) : -2;
  }
  // If a file does not say, the makers' tokenizers decide: those of Llama 2 and 3 and Mistral begin with bos.
  constexpr std::array<std::string_view, 4> kBeginWithBos = {"llama-bpe", "llama3", "llama-v3", "tekken"};
  const bool begins =
      spm || std::find(kBeginWithBos.begin(), kBeginWithBos.end(), vocabulary.pre) != kBeginWithBos.end();
  vocabulary.add_bos = metadata.Find<bool>(kAddBos).value_or(begins && vocabulary.bos >= 0);
  vocabulary.add_eos = metadata.Find<bool>(kAddEos).value_or(false);
  vocabulary.add_space_prefix = metadata.Find<bool>(kAddSpacePrefix).value_or(spm);
  vocabulary.chat_template = metadata.Find<std::string>(kChatTemplate).value_or("");
  ReadEdges(metadata, vocabulary);
  if (!spm && vocabulary.pre.empty()) {
    vocabulary.warnings.push_back(
        fmt::format("{}: {} is missing, so text is cut into words as \"default\" does; if that is not the "
                    "model's way, it costs quality: convert it again from its original",
                    metadata.source(), kPre));
  }
  CheckVocabulary(vocabulary, metadata.source());
  return vocabulary;
}

void WriteVocabulary(const Vocabulary& vocabulary, GgufMetadata& metadata) {
  const bool spm = vocabulary.kind == Vocabulary::Kind::kSpm;
  metadata.Set(kModel, spm ? "llama" : "gpt2");
  metadata.Set(kPre, vocabulary.pre.empty() ? "default" : vocabulary.pre);
  metadata.Set(kTokens, vocabulary.tokens);
  if (!vocabulary.scores.empty()) metadata.Set(kScores, vocabulary.scores);
  if (!vocabulary.kinds.empty()) {
    std::vector<std::int32_t> kinds;
    kinds.reserve(vocabulary.kinds.size());
    for (const TokenKind kind : vocabulary.kinds) kinds.push_back(static_cast<std::int32_t>(kind));
    metadata.Set(kKinds, std::move(kinds));
  }
  // Readers of byte-level BPE need the list, even if it is empty.
  if (!spm || !vocabulary.merges.empty()) metadata.Set(kMerges, vocabulary.merges);
  for (const SpecialKey& special : kSpecialKeys) {
    const std::int32_t id = vocabulary.*special.id;
    if (id >= 0) metadata.Set(special.key, static_cast<std::uint32_t>(id));
  }
  metadata.Set(kAddBos, vocabulary.add_bos);
  metadata.Set(kAddEos, vocabulary.add_eos);
  if (spm) metadata.Set(kAddSpacePrefix, vocabulary.add_space_prefix);
  if (!vocabulary.chat_template.empty()) metadata.Set(kChatTemplate, vocabulary.chat_template);
  WriteEdges(vocabulary, metadata);
}

}  // namespace longspan
