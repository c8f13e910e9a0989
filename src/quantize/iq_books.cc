#include "quantize/iq_books.h"

#include "tensor/iq1_grid.h"
#include "tensor/iq2_grids.h"
#include "tensor/iq3_grids.h"

namespace longspan {
namespace {

template <std::size_t kPoints>
constexpr PointNibbles<kPoints> Split(const std::array<std::uint16_t, kPoints>& grid, unsigned bits) {
  PointNibbles<kPoints> split{};
  for (std::size_t p = 0; p < kPoints; ++p) {
    for (unsigned n = 0; n < 4; ++n)
      split.nibbles[n][p] = static_cast<std::uint8_t>(grid[p] >> bits * n & ((1u << bits) - 1));
  }
  return split;
}

}  // namespace

constexpr PointNibbles<256> kNibblesIQ2_XXS = Split(kGridIQ2_XXS, 4);
constexpr PointNibbles<512> kNibblesIQ2_XS = Split(kGridIQ2_XS, 4);
constexpr PointNibbles<1024> kNibblesIQ2_S = Split(kGridIQ2_S, 4);
constexpr PointNibbles<256> kNibblesIQ3_XXS = Split(kGridIQ3_XXS, 3);
constexpr PointNibbles<512> kNibblesIQ3_S = Split(kGridIQ3_S, 3);
constexpr PointNibbles<2048> kNibblesIQ1 = Split(kGridIQ1, 4);

}  // namespace longspan
