#include "formats/json_file.h"

#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

using nlohmann::json;
using Event = json::parse_event_t;

[[noreturn]] void FailMember(const std::string& file, std::string_view name, const json& value,
                             const char* expected) {
  Fail(ErrorKind::kInvalidFile, "{}: \"{}\" is {}, expected {}", file, name,
       Printable(value.dump(-1, ' ', true, json::error_handler_t::replace)), expected);
}

}  // namespace

json ParseJson(std::string_view text, const std::string& file, const JsonLimits& limits,
               const JsonFilter& filter) {
  if (text.size() > limits.bytes) {
    Fail(ErrorKind::kInvalidFile, "{}: {} bytes of JSON, more than the {} that are read", file, text.size(),
         limits.bytes);
  }
  std::size_t values = 0;
  std::vector<std::size_t> begun;  // `values` before each list and object that is open
  const auto check = [&](int depth, Event event, json& value) {
    if (depth > limits.depth)
      Fail(ErrorKind::kInvalidFile, "{}: JSON nested deeper than {}", file, limits.depth);
    const bool starts = event == Event::object_start || event == Event::array_start;
    const bool ends = event == Event::object_end || event == Event::array_end;
    const bool keep = !filter || filter(depth, event, value);
    // The parser says nothing of what is in a list that is not kept, nor of its end.
    if (starts && keep) begun.push_back(values);
    if (ends) {
      if (!keep) values = begun.back();
      begun.pop_back();
    }
    if (keep && (starts || event == Event::value) && ++values > limits.values)
      Fail(ErrorKind::kInvalidFile, "{}: more than {} JSON values", file, limits.values);
    return keep;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception& e) {
    std::string_view reason = e.what();  // "[json.exception.parse_error.101] parse error at line 1, ..."
    if (const auto end = reason.find("] "); end != reason.npos) reason.remove_prefix(end + 2);
    Fail(ErrorKind::kInvalidFile, "{}: not JSON: {}", file, Printable(reason, 200));
  }
}

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
