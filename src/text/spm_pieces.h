// How SentencePiece spells its pieces: spaces as U+2581, bytes as <0x0A>.
#pragma once

#include <string>
#include <string_view>

namespace longspan {

inline constexpr std::string_view kSpaceMark = "\u2581";

// `text` with each U+2581 replaced by a space.
std::string WithPlainSpaces(std::string_view text);

// The byte that a piece such as <0x0A> names, or -1.
int ByteOfPiece(std::string_view piece);

}  // namespace longspan
