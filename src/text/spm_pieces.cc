#include "text/spm_pieces.h"

#include <algorithm>
#include <charconv>

namespace longspan {

std::string WithPlainSpaces(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  while (!text.empty()) {
    const std::size_t at = std::min(text.find(kSpaceMark), text.size());
    plain += text.substr(0, at);
    text.remove_prefix(at);
    if (text.empty()) break;
    plain += ' ';
    text.remove_prefix(kSpaceMark.size());
  }
  return plain;
}

int ByteOfPiece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 ? byte : -1;
}

}  // namespace longspan
