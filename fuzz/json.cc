// JSON: what the reader accepts is what the library's own parser makes of it.
#include "formats/json_reader.h"

#include "base/error.h"
#include "base/file.h"
#include "fuzz/target.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const nlohmann::json read = ParseJson(text, "input");
  if (read != nlohmann::json::parse(text)) Fail(ErrorKind::kInternal, "two parsers differ");
  // A filter that keeps nothing within the top value must get through the same text.
  ParseJson(text, "input", {}, [](int depth, JsonEvent, nlohmann::json&) { return depth == 0; });
}

void MakeSeeds(const std::filesystem::path& folder) {
  WriteFile(folder / "config", R"({"a": [1, -2.5e3, "x\n\u00e9", null, true], "b": {"c": {}, "d": [[]]}})");
  WriteFile(folder / "twice", R"({"a": 1, "a": 2})");
  WriteFile(folder / "deep", std::string(40, '[') + std::string(40, ']'));
}

}  // namespace longspan::fuzz
