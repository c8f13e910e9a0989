// Fits of a line to a few values: the search at the heart of every quantised type. Codes are integers; a fit
// chooses the scale (and the offset) for which the rounded codes leave the least weighted square error.
#pragma once

#include <cstddef>
#include <span>

namespace longspan {

inline constexpr int kMaxFit = 32;  // values in one fit: 16 or 32

// The codes in [low, high] nearest to (x - offset) / scale, as floats, and the sum of
// weight * (x - scale * code - offset)^2. Where the scale is zero, the codes are those nearest to zero.
struct Coded {
  float error = 0;
  float codes[kMaxFit];
};
Coded Encode(std::span<const float> x, std::span<const float> weights, float scale, float offset, int low, int high);

// x ~ scale * code, code in [-half, half - 1]. The scale may be negative, for the code that has no positive
// counterpart serves whichever sign is longer.
float FitScale(std::span<const float> x, std::span<const float> weights, int half);

// x ~ scale * code + offset, code in [0, levels], scale >= 0.
struct Line {
  float scale = 0;
  float offset = 0;
};
enum class OffsetSign { kAny, kNotPositive };
Line FitLine(std::span<const float> x, std::span<const float> weights, int levels, OffsetSign sign);

}  // namespace longspan
