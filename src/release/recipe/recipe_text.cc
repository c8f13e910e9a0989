#include "release/recipe/recipe_text.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "release/markdown.h"
#include "release/recipe/idle_keys.h"
#include "release/recipe/recipe_keys.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// `path` as a file in `folder` writes it.
std::string PathFrom(const fs::path& path, const fs::path& folder) {
  if (folder.empty() || path.empty()) return path.string();
  const fs::path relative = path.lexically_relative(folder);
  return (relative.empty() ? fs::absolute(path) : relative).string();
}

template <class T>
T Parse(const std::string& text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

ordered_json Scalar(KeyType type, const std::string& value) {
  switch (type) {
    case KeyType::kInteger:
      return value.starts_with('-') ? ordered_json(Parse<std::int64_t>(value))
                                    : ordered_json(Parse<std::uint64_t>(value));
    case KeyType::kNumber: return Parse<double>(value);
    case KeyType::kBoolean: return value == "true";
    default: return value;
  }
}

ordered_json Value(const KeyValue& key) {
  if (!key.is_list) return key.values.empty() ? ordered_json(nullptr) : Scalar(key.type, key.values.front());
  ordered_json list = ordered_json::array();
  for (const std::string& value : key.values) list.push_back(Scalar(key.type, value));
  return list;
}

std::pair<std::string, std::string> SplitName(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? std::pair(std::string(), name)
                                  : std::pair(name.substr(0, dot), name.substr(dot + 1));
}

bool IsRequired(const KeyValue& key) { return key.key.required != 0; }

// The value of a key that is not given.
std::string DefaultText(const KeyValue& key) {
  std::string text(key.key.otherwise);
  if (IsRequired(key)) {
    const char* by = key.key.required == kForExtend  ? " by extend"
                     : key.key.required == kForTrain ? " by train"
                                                     : "";
    return fmt::format("{}{}required{}", text, text.empty() ? "" : "; ", by);
  }
  if (!text.empty()) return text;
  if (key.values.empty() || (key.values.size() == 1 && key.values.front().empty())) return "none";
  return YamlText(key);
}

std::string UseText(const KeyValue& key) {
  if ((key.key.ignored & kForTrain) != 0) return "extend";
  return (key.key.ignored & kForExtend) != 0 ? "train" : "both";
}

// Every key, with its default.
KeyLister AllKeys() {
  static const Recipe defaults = [] {
    Recipe recipe;
    recipe.new_model.emplace();
    return recipe;
  }();
  return ListKeys(defaults);
}

std::vector<const KeyValue*> KeysOf(const KeyLister& all, const SectionHelp& section) {
  std::vector<const KeyValue*> keys;
  for (const KeyValue& key : all.keys) {
    if (SplitName(key.name).first == section.name) keys.push_back(&key);
  }
  return keys;
}

}  // namespace

std::string RecipeText(const Recipe& recipe, const YamlComments& comments) {
  const std::vector<KeyValue> defaults = AllKeys().keys;
  std::vector<KeyValue> written = ListKeys(recipe).keys;
  const fs::path folder = recipe.file.parent_path();
  for (std::size_t i = 0; i < written.size(); ++i) {
    KeyValue& key = written[i];
    const bool computed = !key.key.otherwise.empty() || IsRequired(key);
    const bool wanted = key != defaults[i] || computed || comments.contains(key.name);
    if (!wanted || !key.allowed) key.name.clear();
    if (key.type == KeyType::kPath && !key.values.empty())
      key.values.front() = PathFrom(key.values.front(), folder);
  }
  const std::vector<IdleKey> idle = IdleKeys(recipe);  // which are refused
  std::erase_if(written, [&](const KeyValue& key) { return key.name.empty() || IsIdle(idle, key.name); });
  std::string text;
  if (const auto top = comments.find(""); top != comments.end()) {
    std::string_view rest = top->second;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      text += end == 0 ? "#\n" : fmt::format("# {}\n", rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    text += "\n";
  }
  return text + YamlDocument(written, comments);
}

void WriteRecipe(const Recipe& recipe, const YamlComments& comments) {
  WriteFile(recipe.file, RecipeText(recipe, comments));
}

ordered_json RecipeJson(const Recipe& recipe) {
  ordered_json all = ordered_json::object();
  for (const KeyValue& key : ListKeys(recipe).keys) {
    std::string pointer = "/" + key.name;
    std::ranges::replace(pointer, '.', '/');
    if (key.name.starts_with("base.new.") && !recipe.new_model) continue;
    const bool blank = !key.key.otherwise.empty() && !key.allowed;
    all[ordered_json::json_pointer(pointer)] = blank ? ordered_json(nullptr) : Value(key);
  }
  return all;
}

std::string RecipeKeysText() {
  const KeyLister all = AllKeys();
  std::string text;
  for (const SectionHelp& section : all.sections) {
    text += fmt::format("{}{}: {}\n", text.empty() ? "" : "\n", section.name, section.help);
    for (const KeyValue* key : KeysOf(all, section)) {
      text += fmt::format("  {:<24} {} [{}]\n  {:<24} {}\n", SplitName(key->name).second, TypeText(*key),
                          DefaultText(*key), "", key->key.help);
    }
  }
  return text;
}

std::string RecipeKeysMarkdown() {
  const KeyLister all = AllKeys();
  std::string text;
  for (const SectionHelp& section : all.sections) {
    text += fmt::format("{}### {}\n\n{}.{}\n\n", text.empty() ? "" : "\n", section.name, section.help,
                        (section.ignored & kForTrain) != 0 ? " `train` ignores this section." : "");
    MarkdownTable table({"key", "what it is", "value", "default", "read by"}, 5);
    for (const KeyValue* key : KeysOf(all, section)) {
      table.Add({InlineCode(SplitName(key->name).second), EscapeMarkdown(key->key.help),
                 EscapeMarkdown(TypeText(*key)), EscapeMarkdown(DefaultText(*key)), UseText(*key)});
    }
    text += table.text();
  }
  return text;
}

ordered_json RecipeKeysJson() {
  ordered_json list = ordered_json::array();
  for (const KeyValue& key : AllKeys().keys) {
    ordered_json entry{{"name", key.name}, {"type", Name(key.type)}, {"list", key.is_list}};
    if (!key.choices.empty()) entry["choices"] = key.choices;
    if (!key.key.unit.empty()) entry["unit"] = key.key.unit;
    if (key.key.range) entry["range"] = {key.key.range->low, key.key.range->high};
    entry["required_by"] = ordered_json::array();
    if ((key.key.required & kForExtend) != 0) entry["required_by"].push_back("extend");
    if ((key.key.required & kForTrain) != 0) entry["required_by"].push_back("train");
    entry["default"] = key.key.otherwise.empty() && !IsRequired(key) ? Value(key) : ordered_json(nullptr);
    if (!key.key.otherwise.empty()) entry["default_text"] = key.key.otherwise;
    entry["changes_results"] = key.key.changes != 0;
    entry["help"] = key.key.help;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace longspan
