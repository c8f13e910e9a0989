// The keys of a configuration, each declared once. A struct shows its fields to a visitor, with a Key for
// each:
//
//   template <Is<SampleRecipe> R>
//   void Fields(R& f, auto& visit) {
//     visit(Key{.name = "tokens", .help = "Length of the sample", .unit = "tokens", .range = {{1, 1e6}}},
//     f.tokens);
//   }
//
// and everything else follows: reading (schema_reader.h), and by way of a list of keys with their values
// (KeyLister) writing, fingerprints, tables and documentation.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace longspan {

// One list of fields serves reading and writing: T is the struct or its const.
template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

inline constexpr double kNoLimit = 1e12;  // as Range::high: larger than any sensible value

struct Range {
  double low = 0, high = 0;  // both allowed; integers up to 2^53 are exact
};

struct Key {
  std::string_view name;
  std::string_view help;  // a noun phrase
  std::string_view unit = {};
  std::optional<Range> range = {};
  std::string_view otherwise = {};  // what an absent key means, where the field's own default does not say it
  unsigned changes = 0;             // whose results it changes, as bits that the owner of the keys defines
  unsigned required = 0;            // which readers need it, as bits
  unsigned ignored = 0;             // which readers ignore it (all keys in it, for a section), as bits
};

inline constexpr unsigned kEverybody = ~0u;  // of Key::required

// How many values an enumeration has, from 0 up. Name(E) gives their names.
template <class E>
inline constexpr int kEnumSize = 0;

enum class KeyType { kText, kPath, kInteger, kNumber, kBoolean, kChoice };
std::string_view Name(KeyType type);  // "text", "path", "integer", ...

// A key and its value in a struct.
struct KeyValue {
  std::string name;  // "train.rank"
  Key key;
  KeyType type = KeyType::kText;
  bool is_list = false;
  std::vector<std::string_view> choices;  // of kChoice
  std::vector<std::string> values;        // one, unless it is a list; none where nothing is set
  bool allowed = false;                   // the value could be given: it is set, and within the range

  bool operator==(const KeyValue& other) const { return name == other.name && values == other.values; }
};

struct SectionHelp {
  std::string name;  // "eval.passkey"
  std::string_view help;
  bool optional = false;
  unsigned ignored = 0;
};

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <class E>
std::vector<std::string_view> NamesOf() {
  std::vector<std::string_view> names;
  for (int i = 0; i < kEnumSize<E>; ++i) names.push_back(Name(static_cast<E>(i)));
  return names;
}

template <class T>
constexpr KeyType KeyTypeOf() {
  if constexpr (std::is_enum_v<T>)
    return KeyType::kChoice;
  else if constexpr (std::same_as<T, bool>)
    return KeyType::kBoolean;
  else if constexpr (std::integral<T>)
    return KeyType::kInteger;
  else if constexpr (std::floating_point<T>)
    return KeyType::kNumber;
  else if constexpr (std::same_as<T, std::filesystem::path>)
    return KeyType::kPath;
  else
    return KeyType::kText;
}

// The visitor that lists every key of a struct, in the order of their declaration.
class KeyLister {
 public:
  template <class T>
  void operator()(const Key& key, const T& value) {
    KeyValue entry{.name = FullName(key.name), .key = key, .choices = {}, .values = {}};
    entry.allowed = true;
    if (absent_ == 0)
      Describe(value, entry);
    else
      Describe(T{}, entry);
    if (absent_ > 0) entry.values.clear();
    for (const unsigned ignored : ignored_) entry.key.ignored |= ignored;
    entry.allowed = entry.allowed && !entry.values.empty();
    keys.push_back(std::move(entry));
  }

  // The keys that `body` shows belong to a section within the open one.
  template <std::invocable F>
  void Section(const Key& key, F&& body) {
    Enter(key, false);
    body();
    Leave(key);
  }
  // A section that may be absent. Its keys are listed anyway, without values.
  template <class S>
  void Section(const Key& key, const std::optional<S>& section) {
    Enter(key, true);
    absent_ += section ? 0 : 1;
    const S defaults;
    Fields(section ? *section : defaults, *this);
    absent_ -= section ? 0 : 1;
    Leave(key);
  }

  std::vector<KeyValue> keys;
  std::vector<SectionHelp> sections;

 private:
  void Enter(const Key& key, bool optional) {
    sections.push_back({FullName(key.name), key.help, optional, key.ignored});
    name_ += std::string(key.name) + ".";
    ignored_.push_back(key.ignored);
  }
  void Leave(const Key& key) {
    name_.resize(name_.size() - key.name.size() - 1);
    ignored_.pop_back();
  }
  std::string FullName(std::string_view key) const { return name_ + std::string(key); }

  template <class T>
  static void Describe(const T& value, KeyValue& entry) {
    if constexpr (kIsOptional<T>) {
      typename T::value_type none{};
      Describe(value ? *value : none, entry);
      if (!value) entry.values.clear();
    } else if constexpr (kIsVector<T>) {
      entry.is_list = true;
      typename T::value_type none{};
      Describe(none, entry);
      entry.values.clear();
      entry.allowed = true;
      for (const auto& element : value) Describe(element, entry);
    } else {
      entry.type = KeyTypeOf<T>();
      if constexpr (std::is_enum_v<T>) {
        entry.choices = NamesOf<T>();
        entry.values.emplace_back(Name(value));
      } else if constexpr (std::same_as<T, std::filesystem::path>) {
        entry.values.push_back(value.string());
        entry.allowed = entry.allowed && !value.empty();
      } else if constexpr (std::same_as<T, std::string>) {
        entry.values.push_back(value);
        entry.allowed = entry.allowed && (!value.empty() || entry.key.otherwise.empty());
      } else {
        entry.values.push_back(fmt::format("{}", value));
        if (const auto& range = entry.key.range; range) {
          const auto number = static_cast<double>(value);
          entry.allowed = entry.allowed && number >= range->low && number <= range->high;
        }
      }
    }
  }

  std::string name_;               // of the open sections, with their dots
  std::vector<unsigned> ignored_;  // by the open sections
  int absent_ = 0;                 // open sections that the struct does not have
};

template <class T>
KeyLister ListKeys(const T& config) {
  KeyLister lister;
  Fields(config, lister);
  return lister;
}

// The keys that change `stage`'s results, with their values, as one line of text.
std::string Fingerprint(std::span<const KeyValue> keys, unsigned stage);

// `text` as a double-quoted YAML scalar.
std::string QuoteYaml(std::string_view text);

// The value as YAML has it on one line: "64", "[q, k]", "\"a b\"".
std::string YamlText(const KeyValue& key);

// What may be written for a key: "integer, 1 to 64 tokens", "number, 0 or more", "one of full, lora", "list
// of text".
std::string TypeText(const KeyValue& key);

// Comments by the name of a key or a section.
using YamlComments = std::map<std::string, std::string, std::less<>>;

// A YAML document of these keys. Comments stand after or above the keys that have one.
std::string YamlDocument(std::span<const KeyValue> keys, const YamlComments& comments = {});

// Where each key stands in the file that gave it, for errors found after reading.
struct KeyPlaces {
  std::filesystem::path file;                     // empty: the settings are from no file
  std::map<std::string, int, std::less<>> lines;  // of keys and sections

  bool Given(std::string_view key) const { return lines.contains(key); }
  // "recipe.yml:12: train.rank"; "train.rank" without a file. A key that was not given has the line of its
  // section.
  std::string Where(std::string_view key) const;
  // "recipe.yml:12: train.rank: MESSAGE", an Error(kInvalidFile); Error(kBadOption) without a file.
  [[noreturn]] void FailAt(std::string_view key, std::string_view message) const;
  // The same for an error in what the key names, such as a file. It stays of its kind.
  [[noreturn]] void FailAt(std::string_view key, const Error& cause) const;
};

}  // namespace longspan
