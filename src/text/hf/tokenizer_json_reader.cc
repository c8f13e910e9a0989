#include "text/hf/tokenizer_json_reader.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/json_file.h"
#include "text/hf/tokenizer_config.h"
#include "text/pre_tokenizer_rules.h"
#include "text/spm_pieces.h"
#include "text/token_merges.h"

namespace longspan {
namespace {

using nlohmann::json;
using Event = json::parse_event_t;

// The two long lists, model.vocab and model.merges, taken from the parser as they come.
struct Lists {
  std::vector<std::pair<std::string, std::int64_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;
};

class ListCollector {
 public:
  ListCollector(const std::string& file, Lists& lists) : file_(file), lists_(lists) {}

  bool operator()(int depth, Event event, json& value) {
    if (event == Event::key && depth == 1) in_model_ = value == "model";
    if (event == Event::key && depth == 2) {
      section_ = !in_model_          ? Section::kOther
                 : value == "vocab"  ? Section::kVocab
                 : value == "merges" ? Section::kMerges
                                     : Section::kOther;
    }
    if (!in_model_ || depth < 2 || (event == Event::key && depth == 2)) return true;
    if (section_ == Section::kVocab) return OnVocab(depth, event, value);
    if (section_ == Section::kMerges) return OnMerges(depth, event, value);
    return section_ != Section::kDropped;
  }

 private:
  enum class Section { kOther, kVocab, kMerges, kDropped };

  bool OnVocab(int depth, Event event, const json& value) {
    if (depth == 2) {
      // Other models have a list here. They are refused by their type.
      if (event == Event::array_start) section_ = Section::kDropped;
      return event != Event::array_start;
    }
    if (event == Event::key) {
      token_ = value.get<std::string>();
    } else {
      if (event != Event::value || !value.is_number_integer()) {
        Fail(ErrorKind::kInvalidFile, "{}: the id of the token \"{}\" is not a whole number", file_,
             Printable(token_));
      }
      if (lists_.vocab.size() == kMaxTokens)
        Fail(ErrorKind::kInvalidFile, "{}: more than {} tokens", file_, kMaxTokens);
      lists_.vocab.emplace_back(token_, value.get<std::int64_t>());
    }
    return false;
  }

  bool OnMerges(int depth, Event event, const json& value) {
    if (depth == 2) return true;
    const bool line = depth == 3 && event == Event::value && value.is_string();
    if (line) AddLine(value.get_ref<const std::string&>());
    const bool pair = depth == 3 && event == Event::array_end && value.size() == 2;
    if (pair) Add(value[0].get<std::string>(), value[1].get<std::string>());
    const bool inside = (depth == 3 && event == Event::array_start) ||
                        (depth == 4 && event == Event::value && value.is_string());
    if (!line && !pair && !inside) {
      Fail(ErrorKind::kInvalidFile, "{}: merge {} is neither \"left right\" nor a pair of strings", file_,
           lists_.merges.size());
    }
    return inside;
  }

  void AddLine(const std::string& line) {
    const std::size_t space = line.find(' ', 1);
    if (line.empty() || space == std::string::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos) {
      Fail(ErrorKind::kInvalidFile, "{}: merge {} is \"{}\", expected two tokens and a space between", file_,
           lists_.merges.size(), Printable(line));
    }
    Add(line.substr(0, space), line.substr(space + 1));
  }

  void Add(std::string left, std::string right) {
    if (lists_.merges.size() == kMaxMerges)
      Fail(ErrorKind::kInvalidFile, "{}: more than {} merges", file_, kMaxMerges);
    lists_.merges.emplace_back(std::move(left), std::move(right));
  }

  const std::string& file_;
  Lists& lists_;
  bool in_model_ = false;
  Section section_ = Section::kOther;
  std::string token_;
};

// Reads the parts of the JSON, one after another.
class Reader {
 public:
  Reader(std::string_view text, const std::string& file) {
    draft_.file = file;
    const JsonLimits limits{.bytes = kMaxTokenizerJson};
    root_ = ParseJson(text, file, limits, ListCollector(draft_.file, lists_));
    if (!root_.is_object()) Bad("expected a JSON object");
  }

  JsonTokens ReadTokensAlone() {
    ReadAdded();
    return {std::move(lists_.vocab), std::move(draft_.added)};
  }

  TokenizerDraft Read() {
    ReadModelType();
    ReadTokens();
    ReadAdded();
    if (draft_.vocabulary.kind == Vocabulary::Kind::kSpm) {
      ReadSpmPreparation();
      SetSpmKinds();
    } else {
      ReadBytePreparation();
    }
    ReadMerges();
    ReadEnds();
    return std::move(draft_);
  }

 private:
  template <class... Args>
  [[noreturn]] void Bad(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorKind::kInvalidFile, "{}: {}", draft_.file, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void Unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorKind::kUnsupported, "{}: {}", draft_.file, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string TypeOf(const json& part) const { return StringMember(part, "type", draft_.file).value_or(""); }
  bool Flag(const json& part, std::string_view name, bool otherwise) const {
    return BoolMember(part, name, draft_.file).value_or(otherwise);
  }

  // A part, or the parts of a part of type Sequence, which are listed as `list`.
  std::vector<const json*> Parts(std::string_view name, std::string_view list) const {
    const json* part = FindMember(root_, name);
    if (part == nullptr) return {};
    if (TypeOf(*part) != "Sequence") return {part};
    std::vector<const json*> parts;
    const json* members = FindMember(*part, list);
    if (members == nullptr || !members->is_array()) Bad("the {}'s \"{}\" is no list", name, list);
    for (const json& member : *members) parts.push_back(&member);
    return parts;
  }

  const json& Model() const {
    const json* model = FindMember(root_, "model");
    if (model == nullptr || !model->is_object()) Bad("there is no \"model\"");
    return *model;
  }

  void ReadModelType() {
    const json& model = Model();
    // Older files leave out the type.
    const std::string type = FindMember(model, "type") != nullptr ? TypeOf(model) : "BPE";
    if (type != "BPE") Unsupported("a model of type \"{}\"; only BPE is supported", Printable(type));
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (StringMember(model, affix, draft_.file).value_or("") != "")
        Unsupported("the model has a \"{}\", which is not supported", affix);
    }
    bool byte_level = false;
    for (const json* part : Parts("pre_tokenizer", "pretokenizers"))
      byte_level |= TypeOf(*part) == "ByteLevel";
    const bool byte_fallback = Flag(model, "byte_fallback", false);
    if (byte_level == byte_fallback) {
      Unsupported("the model is {}; expected byte-level BPE or BPE with byte fallback",
                  byte_level ? "byte-level and yet falls back to bytes"
                             : "neither byte-level nor one that falls back to bytes");
    }
    draft_.vocabulary.kind = byte_level ? Vocabulary::Kind::kBpe : Vocabulary::Kind::kSpm;
  }

  std::size_t CheckId(std::int64_t id, std::string_view token) const {
    if (id < 0 || id >= static_cast<std::int64_t>(kMaxTokens))
      Bad("the token \"{}\" has id {}, expected 0 to {}", Printable(token), id, kMaxTokens - 1);
    return static_cast<std::size_t>(id);
  }

  void ReadTokens() {
    if (lists_.vocab.empty()) Bad("the model has no tokens");
    Vocabulary& vocabulary = draft_.vocabulary;
    std::size_t size = 0;
    for (const auto& [token, id] : lists_.vocab) size = std::max(size, CheckId(id, token) + 1);
    vocabulary.tokens.resize(size);
    vocabulary.kinds.assign(size, TokenKind::kUnused);
    ids_.reserve(lists_.vocab.size());
    for (auto& [token, id] : lists_.vocab) {
      std::string& place = vocabulary.tokens[id];
      if (token.empty() || token.size() > kMaxTokenBytes)
        Bad("token {} has {} bytes, expected 1 to {}", id, token.size(), kMaxTokenBytes);
      if (!place.empty()) Bad("\"{}\" and \"{}\" both have id {}", Printable(place), Printable(token), id);
      place = std::move(token);
      vocabulary.kinds[id] = TokenKind::kNormal;
      if (!ids_.try_emplace(place, static_cast<std::int32_t>(id)).second)
        Bad("the token \"{}\" appears twice", Printable(place));
    }
    lists_.vocab = {};
  }

  void ReadAdded() {
    const json* added = FindMember(root_, "added_tokens");
    if (added == nullptr) return;
    if (!added->is_array()) Bad("\"added_tokens\" is not a list");
    for (const json& token : *added) {
      const auto content = StringMember(token, "content", draft_.file);
      const auto id = IntegerMember(token, "id", draft_.file);
      if (!content || !id) Bad("an added token has no content or no id");
      CheckId(*id, *content);
      const auto base = ids_.find(*content);
      if (base != ids_.end() && base->second != *id)
        Bad("the added token \"{}\" has id {}, and {} in the vocabulary", Printable(*content), *id,
            base->second);
      draft_.added.push_back({static_cast<std::int32_t>(*id), *content, Flag(token, "special", false),
                              draft_.file, ReadTokenEdges(token, draft_.file)});
    }
  }

  // --- SentencePiece ---

  void ReadSpmPreparation() {
    Vocabulary& vocabulary = draft_.vocabulary;
    bool escapes = false;
    for (const json* part : Parts("normalizer", "normalizers")) {
      const std::string type = TypeOf(*part);
      const json* pattern = FindMember(*part, "pattern");
      if (type == "Prepend" && StringMember(*part, "prepend", draft_.file) == kSpaceMark) {
        vocabulary.add_space_prefix = true;
      } else if (type == "Replace" && pattern != nullptr &&
                 StringMember(*pattern, "String", draft_.file) == " " &&
                 StringMember(*part, "content", draft_.file) == kSpaceMark) {
        escapes = true;
      } else {
        Unsupported("the normalizer \"{}\" is not supported", Printable(type));
      }
    }
    for (const json* part : Parts("pre_tokenizer", "pretokenizers")) {
      if (TypeOf(*part) != "Metaspace")
        Unsupported("the pre-tokenizer \"{}\" is not supported", Printable(TypeOf(*part)));
      if (Flag(*part, "split", true))
        Unsupported("a Metaspace pre-tokenizer that splits at spaces is not supported");
      if (StringMember(*part, "replacement", draft_.file).value_or(std::string(kSpaceMark)) != kSpaceMark)
        Unsupported("a Metaspace other than U+2581 is not supported");
      const auto scheme = StringMember(*part, "prepend_scheme", draft_.file);
      if (scheme ? *scheme != "never" : Flag(*part, "add_prefix_space", true))
        vocabulary.add_space_prefix = true;
      escapes = true;
    }
    if (!escapes) Unsupported("nothing turns spaces into U+2581, as SentencePiece does");
  }

  void SetSpmKinds() {
    Vocabulary& vocabulary = draft_.vocabulary;
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (ByteOfPiece(vocabulary.tokens[id]) >= 0) vocabulary.kinds[id] = TokenKind::kByte;
    }
    for (const AddedToken& token : draft_.added) {
      const auto id = static_cast<std::size_t>(token.id);
      if (id < vocabulary.tokens.size())
        vocabulary.kinds[id] = token.special ? TokenKind::kControl : TokenKind::kUserDefined;
    }
    const auto unknown = StringMember(Model(), "unk_token", draft_.file);
    if (!unknown) return;
    const auto id = ids_.find(*unknown);
    if (id == ids_.end()) Bad("the unknown token \"{}\" is not a token", Printable(*unknown));
    vocabulary.unknown = id->second;
    vocabulary.kinds[id->second] = TokenKind::kUnknown;
  }

  // --- Byte-level BPE ---

  void ReadBytePreparation() {
    for (const json* part : Parts("normalizer", "normalizers")) {
      if (TypeOf(*part) != "NFC")
        Unsupported("the normalizer \"{}\" is not supported", Printable(TypeOf(*part)));
    }
    std::vector<std::string> stages;
    for (const json* part : Parts("pre_tokenizer", "pretokenizers")) AddStage(*part, stages);
    const bool whole_words = Flag(Model(), "ignore_merges", false);
    const PreTokenizerRule* rule = RecognisePreTokenizer(stages, whole_words);
    if (rule == nullptr) {
      Unsupported("a pre-tokenizer that longspan does not know: \"{}\"{}",
                  Printable(fmt::format("{}", fmt::join(stages, "\", \"")), 400),
                  whole_words ? " with ignore_merges" : "");
    }
    draft_.vocabulary.pre = rule->name;
  }

  void AddStage(const json& part, std::vector<std::string>& stages) const {
    const std::string type = TypeOf(part);
    if (type == "ByteLevel") {
      if (Flag(part, "add_prefix_space", true))
        Unsupported("byte-level BPE that puts a space before a text is not supported");
      if (Flag(part, "use_regex", true)) stages.emplace_back(kGpt2Regex);
    } else if (type == "Digits") {
      stages.emplace_back(Flag(part, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
    } else if (type == "Split") {
      const json* pattern = FindMember(part, "pattern");
      const auto regex = pattern == nullptr ? std::nullopt : StringMember(*pattern, "Regex", draft_.file);
      const std::string behavior = StringMember(part, "behavior", draft_.file).value_or("");
      if (!regex || behavior != "Isolated" || Flag(part, "invert", false))
        Unsupported("a pre-tokenizer is only supported if it isolates what a regular expression matches");
      stages.push_back(*regex);
    } else {
      Unsupported("the pre-tokenizer \"{}\" is not supported", Printable(type));
    }
  }

  // --- Both ---

  std::int32_t IdOf(const std::string& token, std::size_t merge) const {
    const auto id = ids_.find(token);
    if (id == ids_.end()) Bad("merge {}: \"{}\" is not a token", merge, Printable(token));
    return id->second;
  }

  void ReadMerges() {
    Vocabulary& vocabulary = draft_.vocabulary;
    const bool spm = vocabulary.kind == Vocabulary::Kind::kSpm;
    std::vector<TokenPair> pairs;
    for (std::size_t i = 0; i < lists_.merges.size(); ++i) {
      const auto& [left, right] = lists_.merges[i];
      const TokenPair pair{IdOf(left, i), IdOf(right, i), IdOf(left + right, i)};
      if (!spm)
        vocabulary.merges.push_back(left + ' ' + right);
      else if (Merges(pair.left) && Merges(pair.right) && Merges(pair.joined))
        pairs.push_back(pair);
    }
    if (!spm) return;
    std::vector<std::string_view> tokens;
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      tokens.push_back(Merges(static_cast<std::int32_t>(id)) ? vocabulary.tokens[id] : std::string_view());
    }
    vocabulary.scores = ScoresFromMerges(tokens, pairs, draft_.file);
  }

  // Whether a token is made by merges, not found in the text as a whole.
  bool Merges(std::int32_t id) const { return draft_.vocabulary.KindOf(id) == TokenKind::kNormal; }

  void ReadEnds() {
    for (const json* part : Parts("post_processor", "processors")) {
      const std::string type = TypeOf(*part);
      if (type == "ByteLevel") continue;
      if (type != "TemplateProcessing")
        Unsupported("the post-processor \"{}\" is not supported", Printable(type));
      const json* single = FindMember(*part, "single");
      if (single == nullptr || !single->is_array() || single->empty()) Bad("a template has no \"single\"");
      draft_.ends.emplace();
      if (single->size() == 1) continue;
      draft_.ends->first = SpecialName(single->front());
      draft_.ends->last = SpecialName(single->back());
    }
  }

  std::optional<std::string> SpecialName(const json& item) const {
    const json* special = FindMember(item, "SpecialToken");
    return special == nullptr ? std::nullopt : StringMember(*special, "id", draft_.file);
  }

  TokenizerDraft draft_;
  Lists lists_;
  json root_;
  std::unordered_map<std::string, std::int32_t> ids_;
};

}  // namespace

TokenizerDraft ParseTokenizerJson(std::string_view text, const std::string& file) {
  return Reader(text, file).Read();
}

JsonTokens ParseTokensOfJson(std::string_view text, const std::string& file) {
  return Reader(text, file).ReadTokensAlone();
}

}  // namespace longspan
