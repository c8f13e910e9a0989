// The visitor that reads a struct's keys (schema.h) from YAML, with errors that name the file, the line, the
// key and what to write.
#pragma once

#include <algorithm>
#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/schema.h"
#include "base/yaml_section.h"

namespace longspan {

class SchemaReader {
 public:
  // Keys whose `required` has a bit of `use` must be there. `known`: the full names of all keys.
  SchemaReader(const std::filesystem::path& file, const YAML::Node& document, unsigned use,
               std::vector<std::string> known)
      : use_(use), known_(std::move(known)), folder_(file.parent_path()), sections_{{file, "", document}} {
    places.file = file;
  }

  template <class T>
  void operator()(const Key& key, T& out) {
    if (!section().Has(key.name)) {
      if ((key.required & use_) != 0) section().FailMissing(key.name, key.help);
      return;
    }
    Read(key, out);
    Remember(key);
  }

  template <std::invocable F>
  void Section(const Key& key, F&& body) {
    if (section().Has(key.name)) Remember(key);
    sections_.push_back(section().Section(key.name));
    body();
    section().Finish(known_);
    sections_.pop_back();
  }
  template <class S>
  void Section(const Key& key, std::optional<S>& out) {
    if (section().Has(key.name)) Section(key, [&] { Fields(out.emplace(), *this); });
  }

  void Finish() { section().Finish(known_); }

  KeyPlaces places;

 private:
  YamlSection& section() { return sections_.back(); }
  void Remember(const Key& key) {
    places.lines.emplace(section().FullName(key.name), section().LineOf(key.name));
  }

  template <class T>
  void CheckRange(const Key& key, T value) {
    if (!key.range) return;
    const auto number = static_cast<double>(value);
    if (number >= key.range->low && number <= key.range->high) return;
    const std::string limits = key.range->high >= kNoLimit && number < key.range->low
                                   ? fmt::format("{:.15g} or more", key.range->low)
                                   : fmt::format("{:.15g} to {:.15g}", key.range->low, key.range->high);
    section().FailAt(key.name, fmt::format("expected {}, found {}", limits, value));
  }

  void Read(const Key& key, std::string& out) { section().Read(key.name, out); }
  void Read(const Key& key, bool& out) { section().Read(key.name, out); }

  template <class T>
  requires std::same_as<T, double> || std::same_as<T, std::int64_t> || std::same_as<T, std::uint64_t>
  void Read(const Key& key, T& out) {
    section().Read(key.name, out);
    CheckRange(key, out);
  }
  void Read(const Key& key, int& out) {
    std::int64_t value = out;
    section().Read(key.name, value);
    CheckRange(key, value);
    if (!std::in_range<int>(value)) section().FailAt(key.name, fmt::format("{} is too large", value));
    out = static_cast<int>(value);
  }
  void Read(const Key& key, std::filesystem::path& out) {
    std::string text;
    section().Read(key.name, text);
    if (text.empty()) section().FailAt(key.name, "expected a path, found ''");
    out = folder_ / text;
  }
  template <class E>
  requires std::is_enum_v<E>
  void Read(const Key& key, E& out) {
    std::string text;
    section().Read(key.name, text);
    const std::vector<std::string_view> names = NamesOf<E>();
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) {
      section().FailAt(
          key.name, fmt::format("expected one of {}, found '{}'", fmt::join(names, ", "), Printable(text)));
    }
    out = static_cast<E>(found - names.begin());
  }
  template <class T>
  void Read(const Key& key, std::vector<T>& out) {
    section().Read(key.name, out);
    if constexpr (!std::same_as<T, std::string>) {
      for (const T value : out) CheckRange(key, value);
    }
  }
  template <class T>
  void Read(const Key& key, std::optional<T>& out) {
    T value{};
    Read(key, value);
    out = value;
  }

  unsigned use_;
  std::vector<std::string> known_;
  std::filesystem::path folder_;       // what paths are relative to
  std::vector<YamlSection> sections_;  // open, the document first
};

// Reads the keys of `document`, which is from `file`, into `out`. Error(kInvalidFile) for a key that is
// unknown, missing, of the wrong type or out of range.
template <class T>
KeyPlaces ReadKeys(const std::filesystem::path& file, const YAML::Node& document, unsigned use, T& out) {
  std::vector<std::string> known;
  for (const KeyValue& key : ListKeys(std::as_const(out)).keys) known.push_back(key.name);
  SchemaReader reader(file, document, use, std::move(known));
  Fields(out, reader);
  reader.Finish();
  return std::move(reader.places);
}

}  // namespace longspan
