#include "formats/json_object.h"

#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/json_file.h"

namespace longspan {

using nlohmann::json;

JsonObject JsonObject::Read(const std::filesystem::path& path, std::uint64_t limit) {
  json value = ParseJson(ReadFile(path, limit), path.string());
  if (!value.is_object()) Fail(ErrorKind::kInvalidFile, "{}: not a JSON object", path.string());
  return {path.string(), std::move(value)};
}

const json* JsonObject::FindValue(std::string_view key) const { return FindMember(value_, key); }

std::optional<JsonObject> JsonObject::FindObject(std::string_view key) const {
  const json* found = FindValue(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_object())
    Fail(ErrorKind::kInvalidFile, "{}: {} is {}, expected an object", where_, key, Describe(*found));
  return JsonObject(fmt::format("{}: {}", where_, key), *found);
}

void JsonObject::RefuseUnlessEmpty(std::string_view key) const {
  const json* found = FindValue(key);
  if (found == nullptr || (found->is_boolean() && !found->get<bool>())) return;
  if (found->is_structured() && found->empty()) return;
  if (found->is_string() && found->get_ref<const std::string&>().empty()) return;
  Fail(ErrorKind::kUnsupported, "{}: {} is {}, which longspan does not handle", where_, key,
       Describe(*found));
}

std::string JsonObject::Describe(const json& value) {
  if (value.is_structured()) return fmt::format("an {} of {}", value.type_name(), value.size());
  return Printable(value.dump(-1, ' ', true, json::error_handler_t::replace));
}

}  // namespace longspan
