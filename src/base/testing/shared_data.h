// Where tests find real data that is not part of the repository.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

namespace longspan {

// The path of `name` below the shared data folder ($LONGSPAN_SHARED/data, or shared/data beside the
// checkout), or nothing where it is absent: a test then skips with a message.
inline std::optional<std::filesystem::path> SharedData(std::string_view name) {
  const char* variable = std::getenv("LONGSPAN_SHARED");
  const std::filesystem::path shared = variable != nullptr
                                           ? std::filesystem::path(variable)
                                           : std::filesystem::path(LONGSPAN_SOURCE_DIR) / ".." / "shared";
  const std::filesystem::path path = shared / "data" / name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

}  // namespace longspan
