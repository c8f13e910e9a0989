// ReadHfTokenizer.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/gguf_keys.h"
#include "text/hf/sentencepiece_model.h"
#include "text/hf/tiktoken_model.h"
#include "text/hf/tokenizer.h"
#include "text/hf/tokenizer_config.h"
#include "text/hf/tokenizer_json_reader.h"
#include "text/spm_pieces.h"
#include "text/warnings.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxModelFile = std::uint64_t{64} << 20;
constexpr float kAddedScore = -1000.0f, kUnusedScore = -10000.0f;  // as converted files have them

// Tokens that end a turn if the tokenizer's eos ends a text, and the one that ends a message before a tool's
// answer.
constexpr std::array<std::string_view, 5> kTurnEnds = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
                                                       "<EOT>"};
constexpr std::string_view kMessageEnd = "<|eom_id|>";

// Whether a tokenizer.json has the pieces of the tokenizer.model beside it, apart from what it adds.
bool HasPieces(const JsonTokens& json, const Vocabulary& model) {
  std::unordered_map<std::int64_t, std::string_view> tokens;
  tokens.reserve(json.vocabulary.size());
  for (const auto& [token, id] : json.vocabulary) tokens.insert_or_assign(id, token);
  for (const AddedToken& token : json.added) tokens.insert_or_assign(token.id, token.content);
  std::unordered_set<std::int64_t> added;
  for (const AddedToken& token : json.added) added.insert(token.id);
  for (std::size_t id = 0; id < model.tokens.size(); ++id) {
    const auto token = tokens.find(static_cast<std::int64_t>(id));
    if (token == tokens.end()) return false;
    if (token->second != model.tokens[id] && !added.contains(token->first)) return false;
    tokens.erase(token);
  }
  return std::ranges::all_of(tokens, [&](const auto& token) { return added.contains(token.first); });
}

// A SentencePiece model has the scores, and the tokenizer.json beside it the tokens that were added later. If
// their pieces differ, only tokenizer.json counts, as for Hugging Face's loader.
TokenizerDraft ReadSentencePiece(std::string_view model, const fs::path& path, const fs::path& json) {
  TokenizerDraft draft = ParseSentencePiece(std::as_bytes(std::span(model)), path.string());
  if (!fs::exists(json)) return draft;
  const std::string text = ReadFile(json, kMaxTokenizerJson);
  JsonTokens tokens = ParseTokensOfJson(text, json.string());
  if (HasPieces(tokens, draft.vocabulary)) {
    draft.added = std::move(tokens.added);
    return draft;
  }
  draft = ParseTokenizerJson(text, json.string());
  draft.vocabulary.warnings.push_back(
      fmt::format("{}: its tokens are not those of {}, which is ignored", json.string(), path.string()));
  return draft;
}

TokenizerDraft ReadDraft(const fs::path& folder) {
  const fs::path model = folder / "tokenizer.model", json = folder / "tokenizer.json";
  const bool has_model = fs::exists(model), has_json = fs::exists(json);
  std::string text;
  if (has_model) {
    text = ReadFile(model, kMaxModelFile);
    if (IsSentencePiece(std::as_bytes(std::span(text)))) return ReadSentencePiece(text, model, json);
  }
  if (has_json) return ParseTokenizerJson(ReadFile(json, kMaxTokenizerJson), json.string());
  if (has_model) return Llama3FromTiktoken(text, model.string());
  Fail(ErrorKind::kIo, "{}: has neither tokenizer.json nor tokenizer.model", folder.string());
}

class Assembler {
 public:
  Assembler(TokenizerDraft draft, HfTokenizerConfig config, std::string folder, std::int64_t vocab_size)
      : draft_(std::move(draft)),
        config_(std::move(config)),
        folder_(std::move(folder)),
        vocab_size_(vocab_size),
        vocabulary_(draft_.vocabulary) {}

  GgufMetadata Make(Progress& progress) {
    for (const AddedToken& token : draft_.added) Add(token);
    for (const AddedToken& token : config_.added) Add(token);
    FillUp();
    IndexTokens();
    SetRoles();
    SetEnds();
    SetFlags();
    CheckVocabulary(vocabulary_, draft_.file);
    WarnAbout(vocabulary_, progress);
    GgufMetadata metadata(folder_);
    SetTemplates();
    WriteVocabulary(vocabulary_, metadata);
    SetExtras(metadata);
    return metadata;
  }

 private:
  template <class... Args>
  [[noreturn]] void Bad(const std::string& file, fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorKind::kInvalidFile, "{}: {}", file, fmt::format(format, std::forward<Args>(args)...));
  }
  bool IsSpm() const { return vocabulary_.kind == Vocabulary::Kind::kSpm; }

  // Puts an added token in its place. Two lists of added tokens must agree. A SentencePiece model's pieces
  // are replaced, because that is the only way to change them.
  void Add(const AddedToken& token) {
    if (token.content.empty() || token.content.size() > kMaxTokenBytes)
      Bad(token.file, "added token {} has {} bytes, expected 1 to {}", token.id, token.content.size(),
          kMaxTokenBytes);
    const auto [known, first] = added_.try_emplace(token.id, token.content);
    if (!first && known->second != token.content) {
      Bad(token.file, "token {} is \"{}\", and \"{}\" in another file", token.id, Printable(token.content),
          Printable(known->second));
    }
    const auto id = static_cast<std::size_t>(token.id);
    if (token.edges) SetEdges(token.id, *token.edges);
    if (!first) {  // at most it is new that the token is special
      if (token.special && vocabulary_.kinds[id] == TokenKind::kUserDefined)
        vocabulary_.kinds[id] = TokenKind::kControl;
      return;
    }
    if (vocab_size_ > 0 && token.id >= vocab_size_)
      Bad(token.file, "the token \"{}\" has id {}, and the model's vocab_size is {}",
          Printable(token.content), token.id, vocab_size_);
    if (id >= vocabulary_.tokens.size()) Resize(id + 1);
    std::string& place = vocabulary_.tokens[id];
    TokenKind& kind = vocabulary_.kinds[id];
    const bool same = WithPlainSpaces(place) == WithPlainSpaces(token.content);
    if (!same) {
      if (!place.empty() && !IsSpm()) {
        Bad(token.file, "token {} is added as \"{}\", and is \"{}\" in the vocabulary", token.id,
            Printable(token.content), Printable(place));
      }
      // The text of the token is searched for as it is, so its spaces are plain ones.
      place = token.special || !IsSpm() ? token.content : WithPlainSpaces(token.content);
      if (IsSpm()) vocabulary_.scores[id] = kAddedScore;
    }
    if (same && (kind == TokenKind::kUnknown || kind == TokenKind::kByte)) return;
    kind = token.special ? TokenKind::kControl : TokenKind::kUserDefined;
  }

  // The later of two lists counts, as for Hugging Face's loader.
  void SetEdges(std::int32_t id, const TokenEdges& edges) {
    if (edges.any())
      vocabulary_.edges[id] = edges;
    else
      vocabulary_.edges.erase(id);
  }

  void Resize(std::size_t size) {
    vocabulary_.tokens.resize(size);
    vocabulary_.kinds.resize(size, TokenKind::kUnused);
    if (IsSpm()) vocabulary_.scores.resize(size, kUnusedScore);
  }

  void FillUp() {
    const auto size = static_cast<std::int64_t>(vocabulary_.tokens.size());
    if (vocab_size_ < 0 || vocab_size_ > static_cast<std::int64_t>(kMaxTokens))
      Bad(folder_, "a vocabulary of {} tokens, expected up to {}", vocab_size_, kMaxTokens);
    if (vocab_size_ > 0 && size > vocab_size_)
      Bad(draft_.file, "the tokenizer has {} tokens, and the model's vocab_size is {}", size, vocab_size_);
    if (vocab_size_ > size) Resize(static_cast<std::size_t>(vocab_size_));
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      std::string& token = vocabulary_.tokens[id];
      const std::string unused = UnusedTokenName(id);
      // A hole that was filled when the file was written is known only by its name.
      if (token.empty() || (token == unused && !added_.contains(static_cast<std::int32_t>(id)))) {
        token = unused;
        vocabulary_.kinds[id] = TokenKind::kUnused;
        if (IsSpm()) vocabulary_.scores[id] = kUnusedScore;
      }
    }
  }

  void IndexTokens() {
    ids_.reserve(vocabulary_.tokens.size());
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const auto [first, fresh] = ids_.try_emplace(vocabulary_.tokens[id], static_cast<std::int32_t>(id));
      if (!fresh) {
        Bad(draft_.file, "the token \"{}\" has two ids, {} and {}", Printable(vocabulary_.tokens[id]),
            first->second, id);
      }
    }
  }

  std::optional<std::int32_t> IdOf(std::string_view token) const {
    const auto id = ids_.find(token);
    return id == ids_.end() ? std::nullopt : std::optional(id->second);
  }

  // The id of a token that a model needs, from a configuration.
  std::int32_t CheckedId(std::int64_t id, std::string_view what) const {
    if (id < 0 || std::cmp_greater_equal(id, vocabulary_.tokens.size())) {
      Bad(folder_, "generation_config.json or config.json has {} {}, of {} tokens", what, id,
          vocabulary_.tokens.size());
    }
    return static_cast<std::int32_t>(id);
  }

  // The id of a token that a model runs without, or none: fine-tunes leave such ids beyond the vocabulary.
  std::int32_t OptionalId(std::int64_t id, std::string_view what) {
    return KnownIdOrNone(vocabulary_, id, what,
                         fmt::format("{}: generation_config.json or config.json", folder_));
  }

  void SetRole(SpecialRole role, std::optional<std::string> from_template, std::int32_t& id) {
    // Texts begin and end with these. Without the others a model runs as well.
    const bool needed = role == SpecialRole::kBos || role == SpecialRole::kEos;
    const HfTokenizerConfig::Role& said = config_.role(role);
    const std::optional<std::string>& name = said.name ? said.name : from_template;
    const auto found = name ? IdOf(*name) : std::nullopt;
    if (found) {
      id = *found;
      // A token that is named for a role is special, whatever a list of added tokens says of it.
      TokenKind& kind = vocabulary_.kinds[id];
      if (kind == TokenKind::kNormal || kind == TokenKind::kUserDefined) kind = TokenKind::kControl;
    } else if (name && needed) {
      Bad(folder_, "the {} is \"{}\", which is not a token", RoleKey(role), Printable(*name));
    } else if (id < 0 && said.id) {
      id = needed ? CheckedId(*said.id, RoleKey(role) + "_id")
                  : OptionalId(*said.id, role == SpecialRole::kPad ? "padding" : "unknown");
    }
  }

  void SetRoles() {
    const TextEnds ends = draft_.ends.value_or(TextEnds());
    SetRole(SpecialRole::kBos, ends.first, vocabulary_.bos);
    SetRole(SpecialRole::kEos, ends.last, vocabulary_.eos);
    SetRole(SpecialRole::kUnknown, std::nullopt, vocabulary_.unknown);
    SetRole(SpecialRole::kPad, std::nullopt, vocabulary_.pad);
  }

  void SetEnds() {
    for (const std::string_view name : kTurnEnds) {
      const auto id = IdOf(name);
      if (!id || vocabulary_.eot >= 0) continue;
      const TokenKind kind = vocabulary_.KindOf(*id);
      if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined) vocabulary_.eot = *id;
    }
    for (const std::int64_t end : config_.ends) {
      const std::int32_t id = OptionalId(end, "eos");
      if (id >= 0 && vocabulary_.eot < 0 && id != vocabulary_.eos) vocabulary_.eot = id;
    }
  }

  // Flags come from tokenizer_config.json, or else from the template in tokenizer.json, or else from what the
  // class of tokenizer does.
  void SetFlags() {
    const auto flag = [&](std::optional<bool> said, std::optional<std::string> TextEnds::*end,
                          std::int32_t id, bool otherwise) {
      if (said) return *said && id >= 0;
      if (!draft_.ends) return otherwise && id >= 0;
      const auto& name = *draft_.ends.*end;
      return id >= 0 && name && IdOf(*name) == id;
    };
    vocabulary_.add_bos =
        flag(config_.add_bos, &TextEnds::first, vocabulary_.bos, vocabulary_.add_bos || IsSpm());
    vocabulary_.add_eos = flag(config_.add_eos, &TextEnds::last, vocabulary_.eos, false);
    if (IsSpm() && config_.add_space_prefix) vocabulary_.add_space_prefix = *config_.add_space_prefix;
  }

  void SetTemplates() {
    for (const auto& [name, text] : config_.chat_templates) {
      if (name == kDefaultTemplate) vocabulary_.chat_template = text;
    }
  }

  // Keys that Vocabulary has no member for.
  void SetExtras(GgufMetadata& metadata) const {
    if (const auto eom = IdOf(kMessageEnd); eom && vocabulary_.KindOf(*eom) == TokenKind::kControl)
      metadata.Set(kEomKey, static_cast<std::uint32_t>(*eom));
    if (draft_.remove_extra_whitespaces) metadata.Set(kRemoveSpacesKey, true);
    std::vector<std::string> names;
    for (const auto& [name, text] : config_.chat_templates) {
      if (name == kDefaultTemplate) continue;
      names.push_back(name);
      metadata.Set(fmt::format("{}.{}", kTemplateKey, name), text);
    }
    if (!names.empty()) metadata.Set(kTemplatesKey, std::move(names));
  }

  TokenizerDraft draft_;
  HfTokenizerConfig config_;
  std::string folder_;
  std::int64_t vocab_size_;
  Vocabulary& vocabulary_;
  std::unordered_map<std::int32_t, std::string> added_;     // contents by id
  std::unordered_map<std::string_view, std::int32_t> ids_;  // of all tokens, once they are final
};

}  // namespace

GgufMetadata ReadHfTokenizer(const fs::path& folder, std::int64_t vocab_size, Progress& progress) {
  return Assembler(ReadDraft(folder), ReadHfTokenizerConfig(folder), folder.string(), vocab_size)
      .Make(progress);
}

}  // namespace longspan
