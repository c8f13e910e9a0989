#include "text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace longspan {
namespace {

std::uint8_t Byte(std::string_view text, std::size_t i) { return static_cast<std::uint8_t>(text[i]); }

// How many bytes a lead byte announces; 0 for a byte that leads nothing.
std::size_t AnnouncedLength(std::uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // a continuation, or the lead of an overlong form
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

bool IsContinuation(std::uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Only the second byte has a range that depends on the lead: that is where overlong forms, surrogates and
// too large codes are told apart.
bool IsSecondByte(std::uint8_t lead, std::uint8_t second) {
  switch (lead) {
    case 0xE0: return second >= 0xA0 && second <= 0xBF;
    case 0xED: return second >= 0x80 && second <= 0x9F;
    case 0xF0: return second >= 0x90 && second <= 0xBF;
    case 0xF4: return second >= 0x80 && second <= 0x8F;
    default: return second >= 0x80 && second <= 0xBF;
  }
}

}  // namespace

Utf8Char FirstUtf8Char(std::string_view text) {
  using State = Utf8Char::State;
  const std::uint8_t lead = Byte(text, 0);
  const std::size_t length = AnnouncedLength(lead);
  if (length == 0) return {State::kInvalid};
  if (length == 1) return {State::kValid, lead, 1};
  char32_t code = lead & (0xFF >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {State::kTruncated};
    const std::uint8_t byte = Byte(text, i);
    if (i == 1 ? !IsSecondByte(lead, byte) : !IsContinuation(byte)) return {State::kInvalid};
    code = code << 6 | (byte & 0x3F);
  }
  return {State::kValid, code, length};
}

std::size_t ValidUtf8Prefix(std::string_view text) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080;
  std::size_t i = 0;
  while (i < text.size()) {
    // Takes eight ASCII bytes at a time, because most text is ASCII.
    std::uint64_t eight;
    if (i + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & kHighBits) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    // The characters of most other scripts: two bytes, and three whose lead leaves the second byte free.
    const std::uint8_t lead = Byte(text, i);
    if (lead >= 0xC2 && lead < 0xE0 && i + 1 < text.size() && IsContinuation(Byte(text, i + 1))) {
      i += 2;
      continue;
    }
    if (lead > 0xE0 && lead < 0xF0 && lead != 0xED && i + 2 < text.size() &&
        IsContinuation(Byte(text, i + 1)) && IsContinuation(Byte(text, i + 2))) {
      i += 3;
      continue;
    }
    const Utf8Char c = FirstUtf8Char(text.substr(i));
    if (c.state != Utf8Char::State::kValid) break;
    i += c.length;
  }
  return i;
}

std::size_t UnfinishedUtf8Suffix(std::string_view text) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(3, text.size()); ++length) {
    const Utf8Char c = FirstUtf8Char(text.substr(text.size() - length));
    if (c.state == Utf8Char::State::kTruncated) return length;
    if (c.state == Utf8Char::State::kValid) return 0;
  }
  return 0;
}

void AppendUtf8(char32_t code, std::string& text) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace longspan
