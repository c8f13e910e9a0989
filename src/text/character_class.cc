#include "text/character_class.h"

#include <algorithm>
#include <optional>
#include <string>

#include "text/character_table.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace longspan {
namespace {

// The last character of `text`, if it is a whole one.
std::optional<Utf8Char> LastUtf8Char(std::string_view text) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(4, text.size()); ++length) {
    const Utf8Char c = FirstUtf8Char(text.substr(text.size() - length));
    if (c.state == Utf8Char::State::kValid && c.length == length) return c;
  }
  return std::nullopt;
}

std::optional<Utf8Char> ValidFirst(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const Utf8Char c = FirstUtf8Char(text);
  return c.state == Utf8Char::State::kValid ? std::optional(c) : std::nullopt;
}

}  // namespace

bool IsWhiteSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsWordCharacter(char32_t c) {
  // The last ranges are the circled letters, which are alphabetic although they are symbols.
  static const Regex kWord(R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D})"
                           R"(\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}])");
  std::string text;
  AppendUtf8(c, text);
  return kWord.Find(text, 0).has_value();
}

std::size_t LeadingWhiteSpace(std::string_view text) {
  std::size_t length = 0;
  for (auto c = ValidFirst(text); c && IsWhiteSpace(c->code); c = ValidFirst(text.substr(length)))
    length += c->length;
  return length;
}

std::size_t TrailingWhiteSpace(std::string_view text) {
  const std::size_t size = text.size();
  for (auto c = LastUtf8Char(text); c && IsWhiteSpace(c->code); c = LastUtf8Char(text))
    text.remove_suffix(c->length);
  return size - text.size();
}

bool EndsWithLetter(std::string_view text) {
  const auto c = LastUtf8Char(text);
  return c && CharacterTable::Get().At(text.data() + text.size() - c->length).type == CharacterClass::kLetter;
}

bool BeginsInsideWord(std::string_view text) {
  const auto c = ValidFirst(text);
  return c && IsWordCharacter(c->code);
}

bool EndsInsideWord(std::string_view text) {
  const auto c = LastUtf8Char(text);
  return c && IsWordCharacter(c->code);
}

}  // namespace longspan
