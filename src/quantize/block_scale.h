// Scales and offsets as a block stores them. `unit` is the power of two that a fit's numbers are in units of.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/blocks.h"

namespace longspan {

inline constexpr float kLargestHalf = 65504.0f;

// Rounds a scale to a finite F16, and sets it to what a reader will decode, for codes must be chosen against
// that. Below 2^-14, where F16 is coarse, it is rounded up: the largest codes then still reach the largest
// values, and no scale becomes zero.
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

// The same for an offset, which may well round to zero.
inline PackedHalf PackOffset(float& offset, float unit) {
  const PackedHalf half = PackedHalf::FromFloat(std::clamp(offset * unit, -kLargestHalf, kLargestHalf));
  offset = half.ToFloat() / unit;
  return half;
}

}  // namespace longspan
