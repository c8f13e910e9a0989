// Unicode's classes of characters as the reference tokenizers have them.
#pragma once

#include <string_view>

namespace longspan {

// The property White_Space as the inside of a regular expression's class. PCRE2's own \s has U+180E too,
// which ceased to be a space with Unicode 6.3.
inline constexpr std::string_view kWhiteSpaceClass =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

bool IsWhiteSpace(char32_t c);

// \w of Unicode's technical standard 18: letters, marks, decimal digits, connecting punctuation, joiners.
bool IsWordCharacter(char32_t c);

// The length of the white space that `text` begins with, and that it ends with.
std::size_t LeadingWhiteSpace(std::string_view text);
std::size_t TrailingWhiteSpace(std::string_view text);

// Whether the last character of `text` is a letter (\p{L}).
bool EndsWithLetter(std::string_view text);

// Whether `text` begins, or ends, with a character of a word.
bool BeginsInsideWord(std::string_view text);
bool EndsInsideWord(std::string_view text);

}  // namespace longspan
