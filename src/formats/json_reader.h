// The one reader of untrusted JSON: bounded in size, depth and number of values, linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace longspan {

struct JsonLimits {
  std::uint64_t bytes = 16 << 20;
  std::size_t values = 1 << 19;  // that are kept; one takes some 100 bytes
  int depth = 32;
};

// What a JsonFilter is told of.
using JsonEvent = nlohmann::json::parse_event_t;

// Sees each part of the text as it is read, and says whether it is kept. So a long list can be used as it
// comes, without becoming JSON values. `depth` counts the lists and objects around the part. `value` is
//   key                        the key; "no" drops the value that follows, after the filter has seen it
//   value                      a string, number, boolean or null
//   object_start, array_start  nothing yet; the filter sees no parts of a list or object that is not kept
//   object_end, array_end      the list or object, with all of it that was kept
// The name of a member that is not kept may appear twice; the filter has to look for that.
using JsonFilter = std::function<bool(int depth, JsonEvent event, nlohmann::json& value)>;

// Error(kInvalidFile), naming `file`, for what is not JSON, is beyond the limits, or has a key twice in one
// object, because programs differ in which of the two they take.
nlohmann::json ParseJson(std::string_view text, const std::string& file, const JsonLimits& limits = {},
                         const JsonFilter& filter = nullptr);

}  // namespace longspan
