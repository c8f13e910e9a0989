// The code books of the IQ types as a search wants them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace longspan {

// A point's packed code is four nibbles: of IQ1 and IQ2 two values each, of IQ3 one. nibbles[n][p] is nibble
// n of point p, so that one look-up of bytes prices a quarter of as many points as a vector has bytes.
template <std::size_t kPoints>
struct alignas(64) CodeBook {
  std::array<std::array<std::uint8_t, kPoints>, 4> nibbles;
};

extern const CodeBook<256> kBookIQ2_XXS;
extern const CodeBook<512> kBookIQ2_XS;
extern const CodeBook<1024> kBookIQ2_S;
extern const CodeBook<256> kBookIQ3_XXS;
extern const CodeBook<512> kBookIQ3_S;
extern const CodeBook<2048> kBookIQ1;

// Most of a large book need not be looked at. Points lie in the order of their codes, so that in a chunk of
// 64 few pairs of the upper two nibbles occur: upper[n - 2][i][c] is nibble n of pair i in chunk c (the last
// pair is repeated to fill up).
inline constexpr std::size_t kBookChunk = 64;
inline constexpr std::size_t kChunksIQ1 = 2048 / kBookChunk, kPairsIQ1 = 4;
struct alignas(64) UpperPairs {
  std::array<std::array<std::array<std::uint8_t, kChunksIQ1>, kPairsIQ1>, 2> upper;
};
extern const UpperPairs kUpperIQ1;

}  // namespace longspan
