// The code books of the IQ types as a search wants them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace longspan {

// A point's packed code is four nibbles: of IQ1 and IQ2 two values each, of IQ3 one. nibbles[n][p] is nibble
// n of point p, so that one table look-up of bytes prices a quarter of as many points as a vector has bytes.
template <std::size_t kPoints>
struct alignas(64) PointNibbles {
  std::array<std::array<std::uint8_t, kPoints>, 4> nibbles;
};

extern const PointNibbles<256> kNibblesIQ2_XXS;
extern const PointNibbles<512> kNibblesIQ2_XS;
extern const PointNibbles<1024> kNibblesIQ2_S;
extern const PointNibbles<256> kNibblesIQ3_XXS;
extern const PointNibbles<512> kNibblesIQ3_S;
extern const PointNibbles<2048> kNibblesIQ1;

}  // namespace longspan
