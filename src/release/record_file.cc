#include "release/record_file.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "formats/json_object.h"
#include "formats/json_reader.h"

namespace longspan {

using nlohmann::json;

void ReadRecord(const std::filesystem::path& file, int version, const RecordWords& words,
                const std::function<void(const json&)>& read) {
  const auto fail_damaged = [&](std::string_view how) {
    Fail(ErrorKind::kInvalidFile, "{}: damaged ({}); it says {}: put back a copy of it, or {}", file.string(),
         how, words.holds, words.instead);
  };
  const std::string text = ReadFile(file);
  if (text.empty()) fail_damaged("empty");
  json record;
  try {
    record = ParseJson(text, file.filename().string());
  } catch (const Error& error) {
    fail_damaged(error.what());
  }
  try {
    const int found = record.at("version");
    if (found != version) {
      Fail(ErrorKind::kUnsupported,
           "{}: a record of version {}, expected {}; end the job with the longspan that began it, or {}",
           file.string(), found, version, words.instead);
    }
    read(record);
  } catch (const json::exception& error) {
    fail_damaged(error.what());
  }
}

void WriteRecord(const std::filesystem::path& file, int version, json record) {
  record["version"] = version;
  WriteFile(file, record.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace longspan
