// The text in a record of a corpus, which is a JSON object (RFC 8259).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace longspan {

// Where, in a record, the values begin that may say which part of a corpus it is from (subset.h).
struct SubsetMarks {
  static constexpr std::size_t kNone = std::string_view::npos;
  std::size_t subset = kNone;  // of the member red_pajama_subset
  std::size_t meta = kNone;
  std::size_t source = kNone;
};

struct TextField {
  enum class State {
    kText,        // `text` is the field's
    kNoText,      // a whole object, in which the field is absent, no string, or not UTF-8
    kUnfinished,  // the beginning of an object
    kMalformed,   // anything else
  };
  State state = State::kMalformed;
  std::string text;
  std::string problem;     // why there is no text, where there is none
  std::size_t length = 0;  // bytes of the object, if it is whole
  SubsetMarks marks;
};

// Reads the string `field` of the object at the start of `json`. The object's structure is checked to its
// end, its other values are not: people's files hold NaN, 1e999, numbers of any length and broken strings
// there, and the text is still good. In the text, half a surrogate pair becomes U+FFFD.
TextField ReadTextField(std::string_view json, std::string_view field);

// The string at the start of `json`, decoded in the same way; nothing where there is none.
std::optional<std::string> ReadJsonString(std::string_view json);

}  // namespace longspan
