// A JSON file's top object, or one within it, read key by key with errors that name the file and the key. As
// in all of Hugging Face's files, a key that is null counts as absent.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace longspan {

class JsonObject {
 public:
  // Error(kIo) where the file is missing or larger than `limit` bytes, Error(kInvalidFile) if it is not a
  // JSON object.
  static JsonObject Read(const std::filesystem::path& path, std::uint64_t limit);
  // `where` is what messages begin with.
  JsonObject(std::string where, nlohmann::json value) : where_(std::move(where)), value_(std::move(value)) {}

  const std::string& where() const { return where_; }
  const nlohmann::json& value() const { return value_; }

  const nlohmann::json* FindValue(std::string_view key) const;  // nullptr where absent
  bool Has(std::string_view key) const { return FindValue(key) != nullptr; }

  // T is bool, std::int64_t, double or std::string. Error(kInvalidFile) if the value is not a T.
  template <class T>
  std::optional<T> Find(std::string_view key) const {
    const nlohmann::json* found = FindValue(key);
    if (found == nullptr) return std::nullopt;
    bool fits = false;
    if constexpr (std::same_as<T, bool>) {
      fits = found->is_boolean();
    } else if constexpr (std::same_as<T, std::string>) {
      fits = found->is_string();
    } else if constexpr (std::same_as<T, double>) {
      fits = found->is_number();
    } else {
      static_assert(std::same_as<T, std::int64_t>);
      fits = found->is_number_integer() &&
             !(found->is_number_unsigned() && found->get<std::uint64_t>() >> 63 != 0);
    }
    if (!fits) Fail(ErrorKind::kInvalidFile, "{}: {} is {}", where_, key, Describe(*found));
    return found->get<T>();
  }
  template <class T>
  T Or(std::string_view key, T otherwise) const {
    return Find<T>(key).value_or(std::move(otherwise));
  }
  template <class T>
  T Get(std::string_view key) const {
    std::optional<T> value = Find<T>(key);
    if (!value) Fail(ErrorKind::kInvalidFile, "{}: {} is missing", where_, key);
    return *std::move(value);
  }

  // The object within, or nothing where the key is absent.
  std::optional<JsonObject> FindObject(std::string_view key) const;

  // Error(kUnsupported) unless the key is absent, false or empty: for what longspan does not compute.
  void RefuseUnlessEmpty(std::string_view key) const;

  // A JSON value for a message. Lists and objects are only counted: they may be nested deeper than a stack
  // is.
  static std::string Describe(const nlohmann::json& value);

 private:
  std::string where_;
  nlohmann::json value_;
};

// A JSON document as text for a file: indented, with a line end, never throwing on text that is not UTF-8.
template <class Json>
std::string JsonText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace longspan
