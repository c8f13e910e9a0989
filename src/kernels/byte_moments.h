// AdamW's two moments in 8 bits each, in blocks with a scale (Dettmers et al. 2022, "8-bit Optimizers via
// Block-wise Quantization"), as bitsandbytes has them: 2.03 bytes for a parameter instead of 8.
//
// A code stands for a fraction of its block's largest magnitude. The fractions are dense near zero: seven
// decades, each with twice as many as the one below, which are the midpoints of equal parts of [0.1, 1] times
// a power of ten; besides these 0 and 1. The first moment's come with both signs, the second's have none and
// are twice as dense.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace longspan {

inline constexpr std::int64_t kMomentBlock = 256;  // parameters that share a scale
constexpr std::int64_t MomentBlocks(std::int64_t n) { return (n + kMomentBlock - 1) / kMomentBlock; }

struct MomentCodes {
  std::array<float, 256> values;  // of each code, ascending, in [-1, 1]
  std::array<float, 255> limits;  // what is greater than limits[i] has a code above i

  // The code of the nearest value. A negative number does not become zero, so that no moment loses its sign.
  std::uint8_t Nearest(float x) const;
};

const MomentCodes& SignedMomentCodes();    // of the first moment
const MomentCodes& UnsignedMomentCodes();  // of the second

// The moments of n parameters. All zeros is how they begin.
struct ByteMoments {
  std::span<std::uint8_t> m, v;         // [n]
  std::span<float> m_scales, v_scales;  // [MomentBlocks(n)], largest magnitudes
};

}  // namespace longspan
