// What a GGUF file says about itself: ordered keys with typed values.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace longspan {

// The number that a file stores for a value's type. The variants below list their alternatives in this order,
// so a variant's index is the stored number.
enum class GgufType : std::uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};
inline constexpr std::uint32_t kGgufTypes = 13;

std::string_view Name(GgufType type);  // "u8", "f32", "string", ...

// Strings that somebody keeps alive: a vocabulary of 128k tokens is views into the mapped file, not copies.
class GgufStrings {
 public:
  GgufStrings() = default;
  GgufStrings(std::vector<std::string_view> views, std::shared_ptr<const void> owner)
      : views_(std::move(views)), owner_(std::move(owner)) {}
  explicit GgufStrings(std::vector<std::string> strings);

  std::span<const std::string_view> views() const { return views_; }
  std::size_t size() const { return views_.size(); }
  bool operator==(const GgufStrings& other) const { return views_ == other.views_; }

 private:
  std::vector<std::string_view> views_;
  std::shared_ptr<const void> owner_;
};

template <class T>
concept GgufInteger = std::integral<T> && !std::same_as<T, bool>;

// `value` as a T where that loses nothing that matters: integers change width if they fit, floats change
// precision, everything else must be of the type asked for.
template <class T, class V>
std::optional<T> GgufConvert(const V& value) {
  if constexpr (std::same_as<T, V>) {
    return value;
  } else if constexpr (GgufInteger<T> && GgufInteger<V>) {
    if (!std::in_range<T>(value)) return std::nullopt;
    return static_cast<T>(value);
  } else if constexpr (std::floating_point<T> && std::floating_point<V>) {
    return static_cast<T>(value);
  } else if constexpr (std::same_as<T, std::string_view> && std::same_as<V, std::string>) {
    return std::string_view(value);
  } else if constexpr (std::same_as<T, std::string> && std::same_as<V, std::string_view>) {
    return std::string(value);
  } else {
    return std::nullopt;
  }
}

struct GgufArray {
  std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
               std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
               std::vector<float>, std::vector<bool>, GgufStrings, std::vector<GgufArray>,
               std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>
      elements;

  GgufType element_type() const { return static_cast<GgufType>(elements.index()); }
  std::size_t size() const {
    return std::visit([](const auto& e) { return e.size(); }, elements);
  }
  bool operator==(const GgufArray&) const = default;

  // The elements as a std::vector<T>, or nothing where one does not convert.
  template <class T>
  std::optional<std::vector<T>> As() const;
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

class GgufValue {
 public:
  using Variant =
      std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                   bool, std::string, GgufArray, std::uint64_t, std::int64_t, double>;

  GgufValue() = default;
  // Exactly the alternative given: write std::uint32_t{7} or 1.0f, because the type lands in the file.
  template <class T>
  requires(std::same_as<T, std::uint8_t> || std::same_as<T, std::int8_t> || std::same_as<T, std::uint16_t> ||
           std::same_as<T, std::int16_t> || std::same_as<T, std::uint32_t> || std::same_as<T, std::int32_t> ||
           std::same_as<T, float> || std::same_as<T, bool> || std::same_as<T, std::uint64_t> ||
           std::same_as<T, std::int64_t> || std::same_as<T, double> || std::same_as<T, GgufArray>)
      GgufValue(T value)
      : value_(std::move(value)) {}
  GgufValue(std::string value) : value_(std::move(value)) {}
  GgufValue(std::string_view value) : value_(std::string(value)) {}
  GgufValue(const char* value) : value_(std::string(value)) {}
  template <class T>
  GgufValue(std::vector<T> elements) : value_(GgufArray{std::move(elements)}) {}
  GgufValue(GgufStrings strings) : value_(GgufArray{std::move(strings)}) {}
  GgufValue(std::vector<std::string> strings) : GgufValue(GgufStrings(std::move(strings))) {}

  GgufType type() const { return static_cast<GgufType>(value_.index()); }
  const Variant& variant() const { return value_; }
  bool operator==(const GgufValue&) const = default;

  // T is a number, bool, std::string, std::string_view, GgufArray, std::vector of one of these, or
  // std::span<const std::string_view>; views live as long as this value.
  template <class T>
  std::optional<T> As() const;

 private:
  Variant value_;
};

// Keys in the order in which they were set, or stand in the file.
class GgufMetadata {
 public:
  using Entry = std::pair<std::string, GgufValue>;

  GgufMetadata() = default;
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}

  // Replaces the value where the key exists.
  void Set(std::string_view key, GgufValue value);
  bool Erase(std::string_view key);
  bool Contains(std::string_view key) const { return FindValue(key) != nullptr; }
  const GgufValue* FindValue(std::string_view key) const;  // nullptr where absent

  // Nothing where the key is absent; Error(kInvalidFile), naming file and key, if its value is not a T.
  template <class T>
  std::optional<T> Find(std::string_view key) const {
    const GgufValue* value = FindValue(key);
    if (value == nullptr) return std::nullopt;
    std::optional<T> converted = value->As<T>();
    if (!converted) FailType(key, *value);
    return converted;
  }
  // As Find, but the key must be there.
  template <class T>
  T Get(std::string_view key) const {
    std::optional<T> value = Find<T>(key);
    if (!value) Fail(ErrorKind::kInvalidFile, "{}: metadata key {} is missing", source_, key);
    return *std::move(value);
  }

  std::size_t size() const { return entries_.size(); }
  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }
  const std::string& source() const { return source_; }  // the file that messages name

 private:
  [[noreturn]] void FailType(std::string_view key, const GgufValue& value) const;

  std::string source_ = "GGUF metadata";
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

// One value as a person reads it; text and arrays cut short.
std::string Summary(const GgufValue& value);

template <class T>
std::optional<std::vector<T>> GgufArray::As() const {
  return std::visit(
      [](const auto& all) -> std::optional<std::vector<T>> {
        if constexpr (std::same_as<std::decay_t<decltype(all)>, std::vector<T>>) return all;
        std::vector<T> out;
        out.reserve(all.size());
        const auto convert = [&out](const auto& range) {
          for (const auto& element : range) {
            std::optional<T> converted = GgufConvert<T>(element);
            if (!converted) return false;
            out.push_back(*std::move(converted));
          }
          return true;
        };
        bool fits;
        if constexpr (std::same_as<std::decay_t<decltype(all)>, GgufStrings>) {
          fits = convert(all.views());
        } else if constexpr (std::same_as<std::decay_t<decltype(all)>, std::vector<bool>>) {
          fits = std::same_as<T, bool> || all.empty();  // the equal types returned above
        } else {
          fits = convert(all);
        }
        if (!fits) return std::nullopt;
        return out;
      },
      elements);
}

template <class T>
std::optional<T> GgufValue::As() const {
  if constexpr (std::same_as<T, std::span<const std::string_view>>) {
    const auto* array = std::get_if<GgufArray>(&value_);
    const auto* strings = array == nullptr ? nullptr : std::get_if<GgufStrings>(&array->elements);
    if (strings == nullptr) return std::nullopt;
    return strings->views();
  } else if constexpr (IsVector<T>::value) {
    const auto* array = std::get_if<GgufArray>(&value_);
    if (array == nullptr) return std::nullopt;
    return array->As<typename T::value_type>();
  } else {
    return std::visit([](const auto& value) { return GgufConvert<T>(value); }, value_);
  }
}

}  // namespace longspan
