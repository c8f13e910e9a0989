// WriteHfTokenizer and HfTokenizerFiles.
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/gguf_keys.h"
#include "text/hf/sentencepiece_model.h"
#include "text/hf/tokenizer.h"
#include "text/hf/tokenizer_config.h"
#include "text/hf/tokenizer_json_writer.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

std::int32_t IdOf(const Vocabulary& vocabulary, SpecialRole role) {
  switch (role) {
    case SpecialRole::kBos: return vocabulary.bos;
    case SpecialRole::kEos: return vocabulary.eos;
    case SpecialRole::kUnknown: return vocabulary.unknown;
    case SpecialRole::kPad: return vocabulary.pad;
  }
  Fail(ErrorKind::kInternal, "no such role of a token");
}

// The number of tokens without the unused ones at the end, which are rows of the model that no text has.
std::size_t UsedTokens(const Vocabulary& vocabulary) {
  std::size_t size = vocabulary.tokens.size();
  while (size > 0 && vocabulary.KindOf(static_cast<std::int32_t>(size - 1)) == TokenKind::kUnused &&
         vocabulary.tokens[size - 1] == UnusedTokenName(size - 1)) {
    --size;
  }
  return size;
}

class Writer {
 public:
  explicit Writer(const GgufMetadata& metadata)
      : metadata_(metadata),
        vocabulary_(ReadVocabulary(metadata)),
        size_(UsedTokens(vocabulary_)),
        spm_(vocabulary_.kind == Vocabulary::Kind::kSpm) {
    for (const std::string& token : vocabulary_.tokens) CheckText(token);
  }

  std::vector<std::pair<std::string, std::string>> Files() const {
    std::vector<std::pair<std::string, std::string>> files;
    // The folder counts as a tokenizer once tokenizer.json is there, so that comes last.
    files.emplace_back("special_tokens_map.json", Roles().dump(2) + "\n");
    files.emplace_back("tokenizer_config.json", Config().dump(2) + "\n");
    files.emplace_back("generation_config.json", Generation().dump(2) + "\n");
    if (spm_) {
      const bool spaces = metadata_.Find<bool>(kRemoveSpacesKey).value_or(false);
      files.emplace_back("tokenizer.model", SentencePieceFile(vocabulary_, size_, spaces));
    }
    files.emplace_back("tokenizer.json", TokenizerJson(vocabulary_, size_, metadata_.source()));
    return files;
  }

 private:
  void CheckText(std::string_view text) const { Quoted(text, metadata_.source()); }

  json Roles() const {
    json roles = json::object();
    for (const SpecialRole role : kSpecialRoles) {
      const std::int32_t id = IdOf(vocabulary_, role);
      if (id >= 0) roles[RoleKey(role)] = vocabulary_.tokens[id];
    }
    return roles;
  }

  json AddedDecoder() const {
    // An ordered_json searches all its members for each new one, and this list can be long.
    nlohmann::ordered_json::object_t added;
    for (std::size_t id = 0; id < size_; ++id) {
      if (!IsAdded(vocabulary_.KindOf(static_cast<std::int32_t>(id)))) continue;
      json token = AddedTokenFlags(vocabulary_, static_cast<std::int32_t>(id));
      token["content"] = vocabulary_.tokens[id];
      added.push_back({std::to_string(id), std::move(token)});
    }
    return added;
  }

  json Config() const {
    json config = Roles();
    config["add_bos_token"] = vocabulary_.add_bos;
    config["add_eos_token"] = vocabulary_.add_eos;
    // Written only if it is not the rule, because it makes the loader build the whole tokenizer again.
    if (spm_ && !vocabulary_.add_space_prefix) config["add_prefix_space"] = false;
    config["added_tokens_decoder"] = AddedDecoder();
    if (json templates = Templates(); !templates.is_null()) config["chat_template"] = std::move(templates);
    config["clean_up_tokenization_spaces"] = false;
    if (spm_) config["legacy"] = true;  // a space goes before every text, after special tokens too
    config["tokenizer_class"] = spm_ ? "LlamaTokenizer" : "PreTrainedTokenizerFast";
    return config;
  }

  // One template is a string; several are a list with names.
  json Templates() const {
    json list = json::array();
    const auto add = [&](std::string_view name, const std::string& text) {
      CheckText(name);
      CheckText(text);
      list.push_back({{"name", name}, {"template", text}});
    };
    if (!vocabulary_.chat_template.empty()) add(kDefaultTemplate, vocabulary_.chat_template);
    const auto names = metadata_.Find<std::vector<std::string>>(kTemplatesKey);
    if (!names || names->empty()) return list.empty() ? json() : list[0]["template"];
    for (const std::string& name : *names)
      add(name, metadata_.Get<std::string>(fmt::format("{}.{}", kTemplateKey, name)));
    return list;
  }

  json Generation() const {
    json config = json::object();
    if (vocabulary_.bos >= 0) config["bos_token_id"] = vocabulary_.bos;
    std::vector<std::int32_t> ends;
    for (const std::int32_t id : {vocabulary_.eos, vocabulary_.eot}) {
      if (id >= 0 && (ends.empty() || ends[0] != id)) ends.push_back(id);
    }
    if (ends.size() == 1) config["eos_token_id"] = ends[0];
    if (ends.size() > 1) config["eos_token_id"] = ends;
    if (vocabulary_.pad >= 0) config["pad_token_id"] = vocabulary_.pad;
    return config;
  }

  const GgufMetadata& metadata_;
  Vocabulary vocabulary_;
  std::size_t size_;
  bool spm_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> HfTokenizerFiles(const GgufMetadata& metadata) {
  return Writer(metadata).Files();
}

void WriteHfTokenizer(const GgufMetadata& metadata, const fs::path& folder) {
  for (const auto& [name, contents] : HfTokenizerFiles(metadata)) WriteFile(folder / name, contents);
}

}  // namespace longspan
