// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace longspan {

// The character at the start of a byte string.
struct Utf8Char {
  enum class State {
    kValid,
    kInvalid,    // no character begins with these bytes
    kTruncated,  // the string ends inside a character that is valid so far
  };
  State state = State::kInvalid;
  char32_t code = 0;       // where valid
  std::size_t length = 0;  // bytes, where valid
};

// `text` is not empty.
Utf8Char FirstUtf8Char(std::string_view text);

// The length of the longest prefix of whole, valid characters.
std::size_t ValidUtf8Prefix(std::string_view text);

// The length (0 to 3) of the unfinished character that ends `text`: more bytes could still complete it.
std::size_t UnfinishedUtf8Suffix(std::string_view text);

void AppendUtf8(char32_t code, std::string& text);

}  // namespace longspan
