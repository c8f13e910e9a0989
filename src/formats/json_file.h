// JSON from strangers: bounded in size, depth and number of values, and errors that name the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace longspan {

struct JsonLimits {
  std::uint64_t bytes = 16 << 20;
  std::size_t values = 1 << 19;  // that are kept; one takes some 100 bytes
  int depth = 32;
};

// Sees each value and key before it is kept, and says whether it is: so that long lists need not become JSON
// values. As nlohmann's parser_callback_t: depth 0 is the whole.
using JsonFilter = std::function<bool(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value)>;

// Error(kInvalidFile), naming `file`, for what is no JSON or beyond the limits.
nlohmann::json ParseJson(std::string_view text, const std::string& file, const JsonLimits& limits = {},
                         const JsonFilter& filter = nullptr);

// The object in `path`, or nothing where there is no such file.
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
