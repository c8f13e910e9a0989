// GPT-2's alphabet: every byte as one printable character, so that any byte string is a readable token.
// Printable bytes of Latin-1 stand for themselves; the other 68 take the characters from U+0100 up, in order
// (a space becomes U+0120).
#pragma once

#include <string>
#include <string_view>

namespace longspan {

// Bytes -> text in the alphabet.
std::string ToByteAlphabet(std::string_view bytes);

// Text in the alphabet -> bytes. What is not of the alphabet stands for itself.
std::string FromByteAlphabet(std::string_view text);

}  // namespace longspan
