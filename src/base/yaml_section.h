// Reads a YAML mapping into typed values, key by key, with errors that name the file, the line and the key.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/printable.h"

namespace longspan {

// The text of a YAML file of at most a mebibyte. Error(kIo).
std::string ReadYamlFile(const std::filesystem::path& path);

// The one document of `text`, which is from `path`. Error(kInvalidFile) with the line where it is not YAML.
YAML::Node ParseYaml(const std::filesystem::path& path, const std::string& text);

// The line of "section.key" in a document, where it is there.
std::optional<int> FindLine(const YAML::Node& document, std::string_view name);

// One mapping of a file. Every key is asked for once; Finish refuses the keys that nobody asked for.
class YamlSection {
 public:
  // `name` is empty for the document itself. A null node is an empty mapping.
  YamlSection(const std::filesystem::path& file, std::string name, const YAML::Node& node);

  // Reads `key` into `out`: text, true or false, numbers, lists of them. An absent or blank key leaves `out`
  // as it is.
  template <class T>
  void Read(std::string_view key, T& out) {
    if (const auto node = Find(key)) Convert(key, *node, out);
  }

  YamlSection Section(std::string_view key);  // empty where absent

  bool Has(std::string_view key);                    // present and not blank
  int LineOf(std::string_view key) const;            // of the section where the key is absent
  std::string FullName(std::string_view key) const;  // "train.rank"

  // Error(kInvalidFile) for a key that was never asked for, with the nearest known one: of this section, or
  // else of `everywhere`, the full names of all keys.
  void Finish(std::span<const std::string> everywhere = {}) const;

  // Error(kInvalidFile): "recipe.yml:12: train.rank: <message>". For rules between keys.
  [[noreturn]] void FailAt(std::string_view key, std::string_view message) const;
  // The same for a required key that is missing. If a misspelt one is there, the message names it instead.
  [[noreturn]] void FailMissing(std::string_view key, std::string_view help) const;

 private:
  std::optional<YAML::Node> Find(std::string_view key);
  [[noreturn]] void FailType(std::string_view key, const YAML::Node& node, std::string_view expected) const;

  void Convert(std::string_view key, const YAML::Node& node, std::string& out) const;
  void Convert(std::string_view key, const YAML::Node& node, bool& out) const;
  void Convert(std::string_view key, const YAML::Node& node, double& out) const;
  void Convert(std::string_view key, const YAML::Node& node, std::int64_t& out) const;
  void Convert(std::string_view key, const YAML::Node& node, std::uint64_t& out) const;

  // A list; one bare value is a list of one.
  template <class T>
  void Convert(std::string_view key, const YAML::Node& node, std::vector<T>& out) const {
    out.clear();
    if (!node.IsSequence()) {
      Convert(key, node, out.emplace_back());
      return;
    }
    for (const YAML::Node& element : node) Convert(key, element, out.emplace_back());
  }

  std::filesystem::path file_;
  std::string name_;
  YAML::Node node_;
  int line_ = 1;
  std::vector<std::string> asked_;
};

}  // namespace longspan
