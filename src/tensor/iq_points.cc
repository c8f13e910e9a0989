#include "tensor/iq_points.h"

#include "tensor/iq1_grid.h"
#include "tensor/iq2_grids.h"
#include "tensor/iq3_grids.h"

namespace longspan {
namespace {

// The levels of a grid's points: 16 bits for eight values, 12 for four.
template <std::size_t kValues, std::size_t kPoints>
constexpr LevelTable<kPoints, kValues> Spread(const std::array<std::uint16_t, kPoints>& grid) {
  constexpr unsigned kBits = kValues == 8 ? 2 : 3, kMask = (1 << kBits) - 1;
  LevelTable<kPoints, kValues> table{};
  for (std::size_t p = 0; p < kPoints; ++p) {
    for (unsigned i = 0; i < kValues; ++i)
      table[p][i] = static_cast<std::uint8_t>(grid[p] >> kBits * i & kMask);
  }
  return table;
}

template <std::size_t kValues, std::size_t kPoints, std::size_t kLevels>
constexpr PointTable<kPoints, kValues> Spell(const LevelTable<kPoints, kValues>& points,
                                             const std::array<float, kLevels>& levels) {
  PointTable<kPoints, kValues> table{};
  for (std::size_t p = 0; p < kPoints; ++p) {
    for (std::size_t i = 0; i < kValues; ++i) table[p][i] = levels[points[p][i]];
  }
  return table;
}

}  // namespace

alignas(64) constexpr LevelTable<256, 8> kLevelsIQ2_XXS = Spread<8>(kGridIQ2_XXS);
alignas(64) constexpr LevelTable<512, 8> kLevelsIQ2_XS = Spread<8>(kGridIQ2_XS);
alignas(64) constexpr LevelTable<1024, 8> kLevelsIQ2_S = Spread<8>(kGridIQ2_S);
alignas(64) constexpr LevelTable<256, 4> kLevelsIQ3_XXS = Spread<4>(kGridIQ3_XXS);
alignas(64) constexpr LevelTable<512, 4> kLevelsIQ3_S = Spread<4>(kGridIQ3_S);
alignas(64) constexpr LevelTable<2048, 8> kLevelsIQ1 = Spread<8>(kGridIQ1);

alignas(64) constexpr PointTable<256, 8> kPointsIQ2_XXS = Spell(kLevelsIQ2_XXS, kLevels2);
alignas(64) constexpr PointTable<512, 8> kPointsIQ2_XS = Spell(kLevelsIQ2_XS, kLevels2);
alignas(64) constexpr PointTable<1024, 8> kPointsIQ2_S = Spell(kLevelsIQ2_S, kLevels2);
alignas(64) constexpr PointTable<256, 4> kPointsIQ3_XXS = Spell(kLevelsIQ3_XXS, kLevels3_XXS);
alignas(64) constexpr PointTable<512, 4> kPointsIQ3_S = Spell(kLevelsIQ3_S, kLevels3_S);
alignas(64) constexpr PointTable<2048, 8> kPointsIQ1 = Spell(kLevelsIQ1, kLevels1);

alignas(64) constexpr std::array<std::array<std::uint32_t, kOctet>, 256> kSignMasks = [] {
  std::array<std::array<std::uint32_t, kOctet>, 256> masks{};
  for (unsigned s = 0; s < 256; ++s) {
    for (unsigned i = 0; i < kOctet; ++i) masks[s][i] = (s >> i & 1) << 31;
  }
  return masks;
}();

}  // namespace longspan
