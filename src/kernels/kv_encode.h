// What all implementations of Kernels::StoreKv agree on, so that they write the same bytes.
#pragma once

#include <algorithm>

#include "tensor/blocks.h"

namespace longspan {

inline constexpr float kLargestHalf = 65504;

// A block's scale as F16 stores it, and the factor that turns values into codes. Codes belong to the scale
// that will be read, not to the one before it was rounded. A scale above F16's range becomes the largest F16;
// one below it makes all codes 0.
struct KvScale {
  PackedHalf stored;
  float inverse;
  explicit KvScale(float scale)
      : stored(PackedHalf::FromFloat(std::clamp(scale, -kLargestHalf, kLargestHalf))) {
    const float d = stored.ToFloat();
    inverse = d != 0 ? 1 / d : 0;
  }
};

// Q4_0 has one more negative code than positive ones: the value farthest from zero gets it, whatever its
// sign.
inline float Q4_0Scale(float smallest, float largest) {
  return (-smallest > largest ? smallest : largest) / -8;
}

}  // namespace longspan
