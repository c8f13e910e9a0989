#include "text/hf/tokenizer_json_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/pre_tokenizer_rules.h"
#include "text/spm_pieces.h"
#include "text/token_merges.h"
#include "text/utf8.h"

namespace longspan {
namespace {

using json = nlohmann::ordered_json;

// "left right", as one string or as two.
struct NamedMerge {
  std::string_view left, right;
};

class Writer {
 public:
  Writer(const Vocabulary& vocabulary, std::size_t size, const std::string& source)
      : vocabulary_(vocabulary),
        size_(size),
        source_(source),
        spm_(vocabulary.kind == Vocabulary::Kind::kSpm) {}

  std::string Write() {
    out_ = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
    WriteAdded();
    out_ += "\n  ],\n";
    WritePart("normalizer", Normalizer());
    WritePart("pre_tokenizer", PreTokenizer());
    WritePart("post_processor", PostProcessor());
    WritePart("decoder", Decoder());
    WriteModel();
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  std::string_view Token(std::size_t id) const { return vocabulary_.tokens[id]; }
  TokenKind Kind(std::size_t id) const { return vocabulary_.KindOf(static_cast<std::int32_t>(id)); }

  void WritePart(const char* name, const json& part) {
    out_ += fmt::format("  \"{}\": {},\n", name, part.dump());
  }

  void WriteAdded() {
    const char* separator = "\n    ";
    for (std::size_t id = 0; id < size_; ++id) {
      if (!IsAdded(Kind(id))) continue;
      const std::string flags = AddedTokenFlags(vocabulary_, static_cast<std::int32_t>(id)).dump();
      out_ += fmt::format(R"({}{{"id": {}, "content": {}, {})", separator, id, Quoted(Token(id), source_),
                          flags.substr(1));
      separator = ",\n    ";
    }
  }

  json Normalizer() const {
    if (!spm_) return FindPreTokenizerRule(vocabulary_.pre).nfc ? json{{"type", "NFC"}} : json();
    json parts = json::array();
    if (vocabulary_.add_space_prefix) parts.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
    parts.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}});
    return {{"type", "Sequence"}, {"normalizers", parts}};
  }

  static json ByteLevel(bool prefix, bool trim, bool regex) {
    return {
        {"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", trim}, {"use_regex", regex}};
  }

  json PreTokenizer() const {
    if (spm_) return json();
    const auto& stages = FindPreTokenizerRule(vocabulary_.pre).stages;
    if (stages.size() == 1 && stages[0] == kGpt2Regex) return ByteLevel(false, true, true);
    json parts = json::array();
    for (const std::string_view stage : stages) {
      parts.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", stage}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
    parts.push_back(ByteLevel(false, true, false));
    return {{"type", "Sequence"}, {"pretokenizers", parts}};
  }

  // What is put before and after a text.
  json Template() const {
    json special = json::object();
    const auto token = [&](std::int32_t id, int text) {
      const std::string& name = vocabulary_.tokens[id];
      special[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
      return json{{"SpecialToken", {{"id", name}, {"type_id", text}}}};
    };
    const auto around = [&](const char* sequence, int text, json& list) {
      if (vocabulary_.add_bos) list.push_back(token(vocabulary_.bos, text));
      list.push_back({{"Sequence", {{"id", sequence}, {"type_id", text}}}});
      if (vocabulary_.add_eos) list.push_back(token(vocabulary_.eos, text));
    };
    json single = json::array(), pair = json::array();
    around("A", 0, single);
    around("A", 0, pair);
    around("B", 1, pair);
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
  }

  json PostProcessor() const {
    if (spm_) return Template();
    if (!vocabulary_.add_bos && !vocabulary_.add_eos) return ByteLevel(true, false, true);
    return {{"type", "Sequence"}, {"processors", {ByteLevel(true, false, true), Template()}}};
  }

  json Decoder() const {
    if (!spm_) return ByteLevel(true, true, true);
    json parts = json::array();
    parts.push_back({{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}});
    parts.push_back({{"type", "ByteFallback"}});
    parts.push_back({{"type", "Fuse"}});
    if (vocabulary_.add_space_prefix)
      parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    return {{"type", "Sequence"}, {"decoders", parts}};
  }

  // Added tokens stay out of the model's vocabulary if they follow it without a gap, as in Llama 3's file.
  // Otherwise all tokens are in it, because Hugging Face's loader numbers added tokens from the vocabulary's
  // end on, whatever the file says.
  std::size_t VocabularyEnd() const {
    std::size_t end = size_;
    if (spm_) return end;
    while (end > 0 && IsAdded(Kind(end - 1))) --end;
    return end;
  }

  void WriteModel() {
    const bool has_unknown = vocabulary_.unknown >= 0 && spm_;
    const json unknown =
        has_unknown ? json(vocabulary_.tokens[static_cast<std::size_t>(vocabulary_.unknown)]) : json();
    out_ += fmt::format(
        R"(  "model": {{
    "type": "BPE",
    "dropout": null,
    "unk_token": {},
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": {},
    "byte_fallback": {},
    "ignore_merges": {},
    "vocab": {{)",
        unknown.dump(), spm_, spm_, !spm_ && FindPreTokenizerRule(vocabulary_.pre).takes_whole_words);
    const std::size_t end = VocabularyEnd();
    for (std::size_t id = 0; id < end; ++id)
      out_ += fmt::format("{}      {}: {}", id == 0 ? "\n" : ",\n", Quoted(Token(id), source_), id);
    out_ += "\n    },\n    \"merges\": [";
    WriteMerges(spm_ ? MergesOfScores() : MergesOfList());
    out_ += "\n    ]\n  }\n";
  }

  // The listed merges that can take effect, because Hugging Face's loader refuses a file with others.
  std::vector<NamedMerge> MergesOfList() const {
    std::unordered_set<std::string_view> tokens;
    for (std::size_t id = 0; id < size_; ++id) {
      if (!IsAdded(Kind(id))) tokens.insert(Token(id));
    }
    std::vector<NamedMerge> merges;
    for (const std::string_view merge : vocabulary_.merges) {
      const std::size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos)
        Fail(ErrorKind::kInvalidFile, "{}: the merge \"{}\" has no space", source_, Printable(merge));
      const NamedMerge named{merge.substr(0, space), merge.substr(space + 1)};
      const std::string joined = std::string(named.left) + std::string(named.right);
      if (tokens.contains(named.left) && tokens.contains(named.right) && tokens.contains(joined))
        merges.push_back(named);
    }
    return merges;
  }

  std::vector<NamedMerge> MergesOfScores() const {
    std::vector<std::string_view> tokens(size_);
    for (std::size_t id = 0; id < size_; ++id) {
      if (Kind(id) == TokenKind::kNormal) tokens[id] = Token(id);
    }
    std::vector<NamedMerge> merges;
    for (const TokenPair& pair : MergesFromScores(tokens, vocabulary_.scores, source_)) {
      merges.push_back({tokens[pair.left], tokens[pair.right]});
    }
    return merges;
  }

  // Writes merges as strings, which every version reads, unless a token has a space in it.
  void WriteMerges(const std::vector<NamedMerge>& merges) {
    const bool spaces = std::any_of(merges.begin(), merges.end(), [](const NamedMerge& merge) {
      return merge.left.find(' ') != std::string_view::npos ||
             merge.right.find(' ') != std::string_view::npos;
    });
    const char* separator = "\n      ";
    for (const auto& [left, right] : merges) {
      out_ += separator;
      if (spaces)
        out_ += fmt::format("[{}, {}]", Quoted(left, source_), Quoted(right, source_));
      else
        out_ += Quoted(fmt::format("{} {}", left, right), source_);
      separator = ",\n      ";
    }
  }

  const Vocabulary& vocabulary_;
  std::size_t size_;
  const std::string& source_;
  bool spm_;
  std::string out_;
};

}  // namespace

std::string TokenizerJson(const Vocabulary& vocabulary, std::size_t size, const std::string& source) {
  return Writer(vocabulary, size, source).Write();
}

bool IsAdded(TokenKind kind) {
  return kind == TokenKind::kControl || kind == TokenKind::kUserDefined || kind == TokenKind::kUnknown;
}

json AddedTokenFlags(const Vocabulary& vocabulary, std::int32_t id) {
  const auto found = vocabulary.edges.find(id);
  const TokenEdges edges = found == vocabulary.edges.end() ? TokenEdges() : found->second;
  return {{"single_word", edges.single_word},
          {"lstrip", edges.lstrip},
          {"rstrip", edges.rstrip},
          {"normalized", false},
          {"special", vocabulary.KindOf(id) != TokenKind::kUserDefined}};
}

std::string Quoted(std::string_view text, const std::string& source) {
  if (ValidUtf8Prefix(text) != text.size())
    Fail(ErrorKind::kInvalidFile, "{}: \"{}\" is not UTF-8", source, Printable(text));
  return json(text).dump();
}

}  // namespace longspan
