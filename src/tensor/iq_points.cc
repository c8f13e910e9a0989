#include "tensor/iq_points.h"

#include "tensor/iq1_grid.h"
#include "tensor/iq2_grids.h"
#include "tensor/iq3_grids.h"

namespace longspan {
namespace {

// Each value of a point takes two bits where there are three levels, three where there are eight.
template <std::size_t kValues, std::size_t kPoints, std::size_t kLevels>
constexpr PointTable<kPoints, kValues> Spell(const std::array<std::uint16_t, kPoints>& grid,
                                             const std::array<float, kLevels>& levels) {
  constexpr unsigned kBits = kLevels == 3 ? 2 : 3, kMask = (1 << kBits) - 1;
  PointTable<kPoints, kValues> table{};
  for (std::size_t p = 0; p < kPoints; ++p) {
    for (unsigned i = 0; i < kValues; ++i) table[p][i] = levels[grid[p] >> kBits * i & kMask];
  }
  return table;
}

}  // namespace

alignas(64) constexpr PointTable<256, 8> kPointsIQ2_XXS = Spell<8>(kGridIQ2_XXS, kLevels2);
alignas(64) constexpr PointTable<512, 8> kPointsIQ2_XS = Spell<8>(kGridIQ2_XS, kLevels2);
alignas(64) constexpr PointTable<1024, 8> kPointsIQ2_S = Spell<8>(kGridIQ2_S, kLevels2);
alignas(64) constexpr PointTable<256, 4> kPointsIQ3_XXS = Spell<4>(kGridIQ3_XXS, kLevels3_XXS);
alignas(64) constexpr PointTable<512, 4> kPointsIQ3_S = Spell<4>(kGridIQ3_S, kLevels3_S);
alignas(64) constexpr PointTable<2048, 8> kPointsIQ1 = Spell<8>(kGridIQ1, kLevels1);

alignas(64) constexpr std::array<std::array<std::uint32_t, kOctet>, 256> kSignMasks = [] {
  std::array<std::array<std::uint32_t, kOctet>, 256> masks{};
  for (unsigned s = 0; s < 256; ++s) {
    for (unsigned i = 0; i < kOctet; ++i) masks[s][i] = (s >> i & 1) << 31;
  }
  return masks;
}();

}  // namespace longspan
