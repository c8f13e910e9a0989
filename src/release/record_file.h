// The records that a job keeps in its work folder, as JSON with a version.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

namespace longspan {

// What a message about a record says of it.
struct RecordWords {
  std::string_view holds;    // "which stages are done"
  std::string_view instead;  // what to do where there is no copy of it
};

// Hands the record in `file` to `read`. Error(kUnsupported) for one of another version, Error(kInvalidFile)
// for one that is damaged: no JSON, or not of the form that `read` asks it for.
void ReadRecord(const std::filesystem::path& file, int version, const RecordWords& words,
                const std::function<void(const nlohmann::json&)>& read);

// Writes it, atomically, with its version.
void WriteRecord(const std::filesystem::path& file, int version, nlohmann::json record);

}  // namespace longspan
