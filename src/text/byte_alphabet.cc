#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace longspan {
namespace {

constexpr char32_t kFirstSubstitute = 0x100;

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<std::int16_t, 512> byte{};  // by character; -1: not of the alphabet

  constexpr Alphabet() {
    byte.fill(-1);
    char32_t substitute = kFirstSubstitute;
    for (int b = 0; b < 256; ++b) {
      character[b] = StandsForItself(b) ? static_cast<char32_t>(b) : substitute++;
      byte[character[b]] = static_cast<std::int16_t>(b);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::string ToByteAlphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) AppendUtf8(kAlphabet.character[static_cast<std::uint8_t>(byte)], text);
  return text;
}

std::string FromByteAlphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = FirstUtf8Char(text);
    const bool valid = c.state == Utf8Char::State::kValid;
    const std::size_t length = valid ? c.length : 1;
    if (valid && c.code < kAlphabet.byte.size() && kAlphabet.byte[c.code] >= 0) {
      bytes += static_cast<char>(kAlphabet.byte[c.code]);
    } else {
      bytes += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return bytes;
}

}  // namespace longspan
