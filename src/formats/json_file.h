// JSON objects in files, and their members, with errors that name the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "formats/json_reader.h"

namespace longspan {

// The object in `path`, or nothing if there is no such file.
std::optional<nlohmann::json> ReadJsonObject(const std::filesystem::path& path);

// Members of an object; null counts as absent. Error(kInvalidFile), naming `file` and the member, where one
// is of another type.
const nlohmann::json* FindMember(const nlohmann::json& object, std::string_view name);
std::optional<std::string> StringMember(const nlohmann::json& object, std::string_view name,
                                        const std::string& file);
std::optional<bool> BoolMember(const nlohmann::json& object, std::string_view name, const std::string& file);
std::optional<std::int64_t> IntegerMember(const nlohmann::json& object, std::string_view name,
                                          const std::string& file);

}  // namespace longspan
