// Compressed texts, for tests of their readers.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <new>
#include <string>
#include <string_view>

namespace longspan {

inline std::string Zstd(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

// One gzip member.
inline std::string Gzip(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string packed(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// A frame whose header asks for a window of 2^`log` bytes, with `text` as it is.
inline std::string ZstdWithWindow(std::string_view text, int log) {
  std::string packed("\x28\xB5\x2F\xFD\x00", 5);
  packed += static_cast<char>((log - 10) << 3);
  const auto block = static_cast<unsigned>(text.size()) << 3 | 1;  // raw, the last one
  for (int i = 0; i < 3; ++i) packed += static_cast<char>(block >> 8 * i);
  return packed.append(text);
}

}  // namespace longspan
