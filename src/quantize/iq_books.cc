#include "quantize/iq_books.h"

#include "tensor/iq1_grid.h"
#include "tensor/iq2_grids.h"
#include "tensor/iq3_grids.h"

namespace longspan {
namespace {

template <std::size_t kPoints>
constexpr CodeBook<kPoints> Split(const std::array<std::uint16_t, kPoints>& grid, unsigned bits) {
  CodeBook<kPoints> book{};
  for (std::size_t p = 0; p < kPoints; ++p) {
    for (unsigned n = 0; n < 4; ++n)
      book.nibbles[n][p] = static_cast<std::uint8_t>(grid[p] >> bits * n & ((1u << bits) - 1));
  }
  return book;
}

constexpr UpperPairs FindPairs(const std::array<std::uint16_t, 2048>& grid) {
  UpperPairs pairs{};
  for (std::size_t chunk = 0; chunk < kChunksIQ1; ++chunk) {
    std::size_t pair = 0;
    unsigned before = grid[kBookChunk * chunk] >> 8;
    for (std::size_t p = kBookChunk * chunk; p < kBookChunk * (chunk + 1); ++p) {
      const unsigned now = grid[p] >> 8;
      if (now != before) ++pair;
      before = now;
      for (std::size_t i = pair; i < kPairsIQ1; ++i) {
        pairs.upper[0][i][chunk] = static_cast<std::uint8_t>(now & 15);
        pairs.upper[1][i][chunk] = static_cast<std::uint8_t>(now >> 4);
      }
      if (pair >= kPairsIQ1) throw "a chunk with more pairs";  // and then this is no constant
    }
  }
  return pairs;
}

}  // namespace

constexpr CodeBook<256> kBookIQ2_XXS = Split(kGridIQ2_XXS, 4);
constexpr CodeBook<512> kBookIQ2_XS = Split(kGridIQ2_XS, 4);
constexpr CodeBook<1024> kBookIQ2_S = Split(kGridIQ2_S, 4);
constexpr CodeBook<256> kBookIQ3_XXS = Split(kGridIQ3_XXS, 3);
constexpr CodeBook<512> kBookIQ3_S = Split(kGridIQ3_S, 3);
constexpr CodeBook<2048> kBookIQ1 = Split(kGridIQ1, 4);
constexpr UpperPairs kUpperIQ1 = FindPairs(kGridIQ1);

}  // namespace longspan
