// Scales and offsets as a block stores them. A fit's numbers are in units of `unit`, a power of two.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/blocks.h"

namespace longspan {

inline constexpr float kLargestHalf = 65504.0f;

// The factor for a scale once codes are chosen. The error of a least-squares fit is at right angles to the
// encoded values, so these are too short: of the sum of squares `power`, only power - error lies along the
// values. The factor makes up for `part` of the rest, 1 being all. It costs little error, because the error
// has no slope at its minimum, and predictions gain by it (docs/quantisation.md). Values that are encoded
// exactly stay so.
inline float Lengthening(double error, double power, float part) {
  constexpr double kMost = 0.5;
  if (!(power > 0)) return 1;
  const double lost = std::min(error / power, kMost);
  return 1 + part * static_cast<float>(lost / (1 - lost));
}

// Rounds a scale to a finite F16, and sets it to what a reader will decode, because codes must be chosen
// against that. Below 2^-14, where F16 is coarse, it is rounded up: the largest codes then still reach the
// largest values, and no scale becomes zero.
inline PackedHalf PackScale(float& scale, float unit) {
  constexpr float kSmallestNormal = 0x1p-14f, kSmallestHalf = 0x1p-24f;
  const float wanted = std::clamp(scale * unit, -kLargestHalf, kLargestHalf);
  PackedHalf half = PackedHalf::FromFloat(wanted);
  const float rounded = std::abs(half.ToFloat());
  if (rounded < std::abs(wanted) && rounded < kSmallestNormal) {
    half = PackedHalf::FromFloat(std::copysign(rounded + kSmallestHalf, wanted));
  }
  scale = half.ToFloat() / unit;
  return half;
}

// Rounds to the nearest F16, which may be zero: for offsets, and for scales that PackScale has made once.
inline PackedHalf PackNearest(float& value, float unit) {
  const PackedHalf half = PackedHalf::FromFloat(std::clamp(value * unit, -kLargestHalf, kLargestHalf));
  value = half.ToFloat() / unit;
  return half;
}

}  // namespace longspan
