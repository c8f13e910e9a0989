#include "formats/json_file.h"

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

using nlohmann::json;

[[noreturn]] void FailMember(const std::string& file, std::string_view name, const json& value,
                             const char* expected) {
  Fail(ErrorKind::kInvalidFile, "{}: \"{}\" is {}, expected {}", file, name,
       Printable(value.dump(-1, ' ', true, json::error_handler_t::replace)), expected);
}

}  // namespace

std::optional<json> ReadJsonObject(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  json object = ParseJson(ReadFile(path, JsonLimits().bytes), path.string());
  if (!object.is_object()) Fail(ErrorKind::kInvalidFile, "{}: expected a JSON object", path.string());
  return object;
}

const json* FindMember(const json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto member = object.find(name);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

std::optional<std::string> StringMember(const json& object, std::string_view name, const std::string& file) {
  const json* value = FindMember(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) FailMember(file, name, *value, "a string");
  return value->get<std::string>();
}

std::optional<bool> BoolMember(const json& object, std::string_view name, const std::string& file) {
  const json* value = FindMember(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) FailMember(file, name, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::int64_t> IntegerMember(const json& object, std::string_view name,
                                          const std::string& file) {
  const json* value = FindMember(object, name);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_number_integer() && (!value->is_number_unsigned() ||
                                                   std::in_range<std::int64_t>(value->get<std::uint64_t>()));
  if (!fits) FailMember(file, name, *value, "a whole number");
  return value->get<std::int64_t>();
}

}  // namespace longspan
