#include "quantize/block_values.h"

#include <algorithm>
#include <cmath>

namespace longspan {
namespace {

constexpr float kLargestHalf = 65504.0f;
constexpr float kSmallestNormal = 0x1p-14f;
constexpr float kSmallestHalf = 0x1p-24f;
constexpr float kNothing = 0x1p-60f;  // far below what any type can store

}  // namespace

PackedHalf BlockValues::PackScale(float& scale) const {
  const float wanted = std::clamp(scale * unit, -kLargestHalf, kLargestHalf);
  PackedHalf half = PackedHalf::FromFloat(wanted);
  const float rounded = std::abs(half.ToFloat());
  if (rounded < std::abs(wanted) && rounded < kSmallestNormal) {
    half = PackedHalf::FromFloat(std::copysign(rounded + kSmallestHalf, wanted));
  }
  scale = half.ToFloat() / unit;
  return half;
}

PackedHalf BlockValues::PackOffset(float& offset) const {
  const PackedHalf half = PackedHalf::FromFloat(std::clamp(offset * unit, -kLargestHalf, kLargestHalf));
  offset = half.ToFloat() / unit;
  return half;
}

BlockValues PrepareBlock(const float* from, const float* importance, int count) {
  BlockValues block;
  float extreme = 0;
  for (int i = 0; i < count; ++i) extreme = std::max(extreme, std::abs(from[i]));
  if (extreme < kNothing) {
    block.x.fill(0);
    block.weights.fill(1);
    return block;
  }
  int exponent;
  std::frexp(extreme, &exponent);
  block.unit = std::ldexp(1.0f, exponent - 1);
  float squares = 0;
  for (int i = 0; i < count; ++i) {
    block.x[i] = from[i] / block.unit;
    squares += block.x[i] * block.x[i];
  }
  const float mean_square = squares / static_cast<float>(count);
  const float top = importance != nullptr ? *std::max_element(importance, importance + count) : 0;
  if (top > 0) {
    for (int i = 0; i < count; ++i) {
      block.weights[i] = importance[i] / top * std::sqrt(mean_square + block.x[i] * block.x[i]);
    }
  } else {
    const float sigma = std::sqrt(mean_square);
    for (int i = 0; i < count; ++i) block.weights[i] = sigma + std::abs(block.x[i]);
  }
  return block;
}

}  // namespace longspan
