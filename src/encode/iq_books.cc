#include "encode/iq_books.h"

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

constexpr std::array<std::int32_t, 6561> FindCombinations(const std::array<std::uint16_t, 2048>& grid) {
  std::array<std::int32_t, 6561> points{};
  points.fill(-1);
  for (std::size_t p = 0; p < grid.size(); ++p) {
    std::size_t number = 0;
    for (unsigned i = 8; i-- > 0;) number = 3 * number + (grid[p] >> 2 * i & 3);
    points[number] = static_cast<std::int32_t>(p);
  }
  return points;
}

constexpr std::array<std::int16_t, 256> SumDigits() {
  std::array<std::int16_t, 256> sums{};
  for (unsigned mask = 0; mask < sums.size(); ++mask) {
    for (unsigned i = 0, digit = 1; i < 8; ++i, digit *= 3)
      sums[mask] = static_cast<std::int16_t>(sums[mask] + digit * (mask >> i & 1));
  }
  return sums;
}

}  // namespace

constexpr CodeBook<256> kBookIQ2_XXS = Split(kGridIQ2_XXS, 4);
constexpr CodeBook<512> kBookIQ2_XS = Split(kGridIQ2_XS, 4);
constexpr CodeBook<1024> kBookIQ2_S = Split(kGridIQ2_S, 4);
constexpr CodeBook<256> kBookIQ3_XXS = Split(kGridIQ3_XXS, 3);
constexpr CodeBook<512> kBookIQ3_S = Split(kGridIQ3_S, 3);
alignas(64) constexpr std::array<std::int32_t, 6561> kPointsOfCombinations = FindCombinations(kGridIQ1);
static_assert(kPointsOfCombinations[kNoChanges] >= 0);  // so that every search finds a point
constexpr std::array<std::int16_t, 256> kSumsOfDigits = SumDigits();

}  // namespace longspan
