// Reads a YAML mapping into typed values, key by key, with errors that name the file, the line and the key.
#pragma once

#include <yaml-cpp/yaml.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace longspan {

// A YAML file of at most a mebibyte. Error(kIo), Error(kInvalidFile) with the line where it is not YAML.
YAML::Node LoadYaml(const std::filesystem::path& path);
// The same of text that is from `path`.
YAML::Node ParseYaml(const std::filesystem::path& path, const std::string& text);

// One mapping of a file. Every key is asked for once; Finish refuses those that nobody asked for.
class YamlSection {
 public:
  // `name` is empty for the document itself. A null node is an empty mapping.
  YamlSection(const std::filesystem::path& file, std::string name, const YAML::Node& node);

  // Reads `key` into `out`. An absent or blank key leaves `out` as it is; Require refuses that.
  template <class T>
  void Read(std::string_view key, T& out) {
    if (const auto node = Find(key)) Convert(key, *node, out);
  }
  template <class T>
  void Require(std::string_view key, T& out) {
    const auto node = Find(key);
    if (!node) FailMissing(key);
    Convert(key, *node, out);
  }

  // As Read, and refuses numbers outside [low, high].
  template <class T>
  void Read(std::string_view key, T& out, T low, T high) {
    const auto node = Find(key);
    if (!node) return;
    Convert(key, *node, out);
    if (!(out >= low && out <= high))
      FailRange(key, fmt::format("{}", low), fmt::format("{}", high), fmt::format("{}", out));
  }
  template <class T>
  void Require(std::string_view key, T& out, T low, T high) {
    if (!Find(key)) FailMissing(key);
    Read(key, out, low, high);
  }

  YamlSection Section(std::string_view key);  // empty where absent
  YamlSection RequireSection(std::string_view key);

  bool Has(std::string_view key);  // present and not blank

  // Error(kInvalidFile) for a key that was never asked for, with the nearest known one.
  void Finish() const;

  // Error(kInvalidFile): "recipe.yml:12: train.rank: <message>". For rules between keys.
  [[noreturn]] void FailAt(std::string_view key, std::string_view message) const;

 private:
  std::optional<YAML::Node> Find(std::string_view key);
  [[noreturn]] void FailMissing(std::string_view key) const;
  [[noreturn]] void FailRange(std::string_view key, const std::string& low, const std::string& high,
                              const std::string& found) const;
  [[noreturn]] void FailType(std::string_view key, const YAML::Node& node, std::string_view expected) const;
  std::string FullName(std::string_view key) const;

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
  template <class T>
  void Convert(std::string_view key, const YAML::Node& node, std::optional<T>& out) const {
    Convert(key, node, out.emplace());
  }

  std::filesystem::path file_;
  std::string name_;
  YAML::Node node_;
  int line_ = 1;
  std::vector<std::string> asked_;
};

}  // namespace longspan
