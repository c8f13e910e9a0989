#include "text/hf/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/json_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxTemplate = 1 << 20;
constexpr std::size_t kMaxTemplates = 64;

std::int32_t CheckId(std::int64_t id, std::string_view token, const std::string& file) {
  if (id < 0 || id >= static_cast<std::int64_t>(kMaxTokens)) {
    Fail(ErrorKind::kInvalidFile, "{}: the token \"{}\" has id {}, expected 0 to {}", file, Printable(token),
         id, kMaxTokens - 1);
  }
  return static_cast<std::int32_t>(id);
}

// A token is named by a string or by an object with its content; "" names none.
std::optional<std::string> TokenName(const json& object, const std::string& key, const std::string& file) {
  const json* value = FindMember(object, key);
  if (value == nullptr) return std::nullopt;
  auto name = value->is_object() ? StringMember(*value, "content", file) : StringMember(object, key, file);
  return name && name->empty() ? std::nullopt : name;
}

void ReadNames(const json& object, const std::string& file, HfTokenizerConfig& config) {
  for (const SpecialRole role : kSpecialRoles) {
    auto& name = config.role(role).name;
    if (!name) name = TokenName(object, RoleKey(role), file);
  }
}

// Some files have -1 for none.
std::optional<std::int64_t> TokenId(const json& object, const std::string& key, const std::string& file) {
  const auto id = IntegerMember(object, key, file);
  return id && *id < 0 ? std::nullopt : id;
}

// eos_token_id may be a list, whose first id is the tokenizer's own.
std::vector<std::int64_t> Ids(const json& list, const std::string& file) {
  std::vector<std::int64_t> ids;
  for (const json& id : list) {
    if (!id.is_number_integer())
      Fail(ErrorKind::kInvalidFile, "{}: a token's id is not a whole number", file);
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

void ReadIds(const json& object, const std::string& file, HfTokenizerConfig& config) {
  for (const SpecialRole role : kSpecialRoles) {
    auto& id = config.role(role).id;
    const std::string key = RoleKey(role) + "_id";
    const json* value = FindMember(object, key);
    if (value != nullptr && value->is_array()) {
      const auto ids = Ids(*value, file);
      if (role == SpecialRole::kEos && config.ends.empty()) config.ends = ids;
      if (!id && !ids.empty()) id = ids.front();
    } else if (!id) {
      id = TokenId(object, key, file);
    }
  }
}

void ReadAddedDecoder(const json& object, const std::string& file, HfTokenizerConfig& config) {
  const json* decoder = FindMember(object, "added_tokens_decoder");
  if (decoder == nullptr) return;
  if (!decoder->is_object())
    Fail(ErrorKind::kInvalidFile, "{}: \"added_tokens_decoder\" is not an object", file);
  for (const auto& [key, token] : decoder->items()) {
    std::int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const auto content = StringMember(token, "content", file);
    if (error != std::errc() || end != key.data() + key.size() || !content) {
      Fail(ErrorKind::kInvalidFile, "{}: \"added_tokens_decoder\" has \"{}\", expected an id and its content",
           file, Printable(key));
    }
    config.added.push_back({CheckId(id, *content, file), *content,
                            BoolMember(token, "special", file).value_or(false), file,
                            ReadTokenEdges(token, file)});
  }
}

// added_tokens.json: contents and their ids. tokenizer_config.json or special_tokens_map.json says which are
// special.
void ReadAddedTokens(const json& object, const std::string& file, const std::set<std::string>& special,
                     HfTokenizerConfig& config) {
  for (const auto& [content, id] : object.items()) {
    if (!id.is_number_integer())
      Fail(ErrorKind::kInvalidFile, "{}: the id of the token \"{}\" is not a whole number", file,
           Printable(content));
    config.added.push_back(
        {CheckId(id.get<std::int64_t>(), content, file), content, special.contains(content), file, {}});
  }
}

void CollectSpecial(const json& object, const std::string& file, std::set<std::string>& special) {
  for (const SpecialRole role : kSpecialRoles) {
    if (const auto name = TokenName(object, RoleKey(role), file)) special.insert(*name);
  }
  const json* additional = FindMember(object, "additional_special_tokens");
  if (additional == nullptr || !additional->is_array()) return;
  for (const json& token : *additional) {
    if (token.is_string()) special.insert(token.get<std::string>());
    if (const auto content = StringMember(token, "content", file)) special.insert(*content);
  }
}

void AddTemplate(std::string name, std::string text, const std::string& file, HfTokenizerConfig& config) {
  auto& all = config.chat_templates;
  if (text.size() > kMaxTemplate)
    Fail(ErrorKind::kInvalidFile, "{}: a chat template of more than {} bytes", file, kMaxTemplate);
  const auto same = std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.first == name; });
  if (same != all.end()) {
    same->second = std::move(text);
    return;
  }
  if (all.size() == kMaxTemplates)
    Fail(ErrorKind::kInvalidFile, "{}: more than {} chat templates", file, kMaxTemplates);
  all.emplace_back(std::move(name), std::move(text));
}

// "chat_template": a template, or a list of templates with names.
void ReadTemplateMember(const json& object, const std::string& file, HfTokenizerConfig& config) {
  const json* value = FindMember(object, "chat_template");
  if (value == nullptr) return;
  if (!value->is_array()) {
    AddTemplate("default", *StringMember(object, "chat_template", file), file, config);
    return;
  }
  for (const json& entry : *value) {
    const auto name = StringMember(entry, "name", file), text = StringMember(entry, "template", file);
    if (!name || !text || name->empty())
      Fail(ErrorKind::kInvalidFile, "{}: a chat template has no name or no text", file);
    AddTemplate(*name, *text, file, config);
  }
}

// Templates in files of their own, which Hugging Face's loader prefers to those in tokenizer_config.json.
void ReadTemplateFiles(const fs::path& folder, HfTokenizerConfig& config) {
  const auto read = [&](const fs::path& path, const std::string& name) {
    AddTemplate(name, ReadFile(path, kMaxTemplate), path.string(), config);
  };
  if (const fs::path path = folder / "chat_template.jinja"; fs::exists(path)) read(path, "default");
  const fs::path more = folder / kChatTemplatesFolder;
  if (!fs::is_directory(more)) return;
  std::set<fs::path> paths;  // in one order everywhere
  for (const auto& entry : fs::directory_iterator(more)) {
    if (entry.path().extension() == ".jinja") paths.insert(entry.path());
  }
  for (const fs::path& path : paths) read(path, path.stem().string());
}

}  // namespace

std::string RoleKey(SpecialRole role) {
  switch (role) {
    case SpecialRole::kBos: return "bos_token";
    case SpecialRole::kEos: return "eos_token";
    case SpecialRole::kUnknown: return "unk_token";
    case SpecialRole::kPad: return "pad_token";
  }
  Fail(ErrorKind::kInternal, "no such role of a token");
}

TokenEdges ReadTokenEdges(const json& token, const std::string& file) {
  const auto flag = [&](const char* name) { return BoolMember(token, name, file).value_or(false); };
  return {flag("lstrip"), flag("rstrip"), flag("single_word")};
}

HfTokenizerConfig ReadHfTokenizerConfig(const fs::path& folder) {
  HfTokenizerConfig config;
  const auto read = [&](const char* name, const auto& take) {
    const fs::path path = folder / name;
    if (const auto object = ReadJsonObject(path)) take(*object, path.string());
  };
  std::set<std::string> special;
  read("chat_template.json", [&](const json& o, const std::string& f) { ReadTemplateMember(o, f, config); });
  read("tokenizer_config.json", [&](const json& object, const std::string& file) {
    ReadNames(object, file, config);
    CollectSpecial(object, file, special);
    ReadAddedDecoder(object, file, config);
    ReadTemplateMember(object, file, config);
    config.add_bos = BoolMember(object, "add_bos_token", file);
    config.add_eos = BoolMember(object, "add_eos_token", file);
    config.add_space_prefix = BoolMember(object, "add_prefix_space", file);
  });
  read("special_tokens_map.json", [&](const json& object, const std::string& file) {
    ReadNames(object, file, config);
    CollectSpecial(object, file, special);
  });
  read("added_tokens.json",
       [&](const json& object, const std::string& file) { ReadAddedTokens(object, file, special, config); });
  for (const char* name : {"generation_config.json", "config.json"})
    read(name, [&](const json& object, const std::string& file) { ReadIds(object, file, config); });
  ReadTemplateFiles(folder, config);
  return config;
}

}  // namespace longspan
