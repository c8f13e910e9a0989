// The code books of the IQ types, laid out for searching.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace longspan {

// A point's packed code is four nibbles, each for two values of IQ2 or one of IQ3. nibbles[n][p] is nibble n
// of point p, so that one look-up of bytes prices a quarter of as many points as a vector has bytes.
template <std::size_t kPoints>
struct alignas(64) CodeBook {
  std::array<std::array<std::uint8_t, kPoints>, 4> nibbles;
};

extern const CodeBook<256> kBookIQ2_XXS;
extern const CodeBook<512> kBookIQ2_XS;
extern const CodeBook<1024> kBookIQ2_S;
extern const CodeBook<256> kBookIQ3_XXS;
extern const CodeBook<512> kBookIQ3_S;

// A third of all combinations of eight levels are points of IQ1's book. A combination is a number whose
// digits to base three are its levels plus one, the first value's digit the lowest. The table has the index
// of the point, or -1.
extern const std::array<std::int32_t, 6561> kPointsOfCombinations;
inline constexpr std::int32_t kNoChanges = 3280;  // all of level 0
// For each mask of values, the sum of 3^i over the values i in it.
extern const std::array<std::int16_t, 256> kSumsOfDigits;

}  // namespace longspan
