// Random weights of quantised types, drawn as quantised blocks, because kernels may not include the encoders
// of encode/.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/iq_blocks.h"
#include "tensor/tensor.h"

namespace longspan {

// Every quantised type: those of tensor/blocks.h and of tensor/iq_blocks.h.
inline constexpr std::array kQuantizedTypes{
    Type::kQ8_0,   Type::kQ4_0,  Type::kQ4_1,    Type::kQ5_0,  Type::kQ5_1,   Type::kQ2_K,
    Type::kQ3_K,   Type::kQ4_K,  Type::kQ5_K,    Type::kQ6_K,  Type::kIQ4_NL, Type::kIQ4_XS,
    Type::kMXFP4,  Type::kTQ1_0, Type::kTQ2_0,   Type::kIQ1_S, Type::kIQ1_M,  Type::kIQ2_XXS,
    Type::kIQ2_XS, Type::kIQ2_S, Type::kIQ3_XXS, Type::kIQ3_S};

namespace random_blocks {

// Every bit is random, so that all codes and sub-scales occur, except in F16 scales, which are finite.
// `codes` and `scales` are the largest code and sub-scale. They make values about 1 in size, with minima that
// centre codes without a sign.
template <class Block>
void Draw(std::span<std::byte> to, float codes, float scales, Random& random) {
  for (std::size_t at = 0; at < to.size(); at += sizeof(Block)) {
    for (std::size_t i = 0; i < sizeof(Block); ++i) to[at + i] = static_cast<std::byte>(random.Below(256));
    const auto spread = [&] { return 0.5f + static_cast<float>(random.Uniform()); };
    const float d = (random.Below(2) == 0 ? 1.0f : -1.0f) * spread() / (codes * scales);
    Block block;
    std::memcpy(&block, &to[at], sizeof(Block));
    const PackedHalf half = PackedHalf::FromFloat(d);
    if constexpr (requires { block.e; }) {
      block.e = static_cast<std::uint8_t>(124 + random.Below(2));
    } else if constexpr (requires { block.d(); }) {  // IQ1_M: a nibble in each scale
      for (int i = 0; i < 4; ++i)
        block.scales[i] =
            PackedU16::From((block.scales[i].value() & 0xfff) | (half.bits() >> 4 * i & 15) << 12);
    } else {
      block.d = half;
    }
    if constexpr (requires { block.m; }) block.m = PackedHalf::FromFloat(-d * codes / 2 * spread());
    if constexpr (requires { block.dmin; }) block.dmin = PackedHalf::FromFloat(d * codes / 2 * spread());
    std::memcpy(&to[at], &block, sizeof(Block));
  }
}

}  // namespace random_blocks

// A weight [rows, cols] of a quantised type; cols must be whole blocks.
inline Tensor RandomBlocks(Type type, std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Tensor tensor = Tensor::Allocate(type, {rows, cols});
  Random random(13, stream, RandomPurpose::kTest);
  const std::span<std::byte> to = tensor.mutable_bytes();
  using namespace random_blocks;
  switch (type) {
    case Type::kQ8_0: Draw<BlockQ8_0>(to, 128, 1, random); break;
    case Type::kQ4_0: Draw<BlockQ4_0>(to, 8, 1, random); break;
    case Type::kQ4_1: Draw<BlockQ4_1>(to, 15, 1, random); break;
    case Type::kQ5_0: Draw<BlockQ5_0>(to, 16, 1, random); break;
    case Type::kQ5_1: Draw<BlockQ5_1>(to, 31, 1, random); break;
    case Type::kQ2_K: Draw<BlockQ2_K>(to, 3, 15, random); break;
    case Type::kQ3_K: Draw<BlockQ3_K>(to, 4, 32, random); break;
    case Type::kQ4_K: Draw<BlockQ4_K>(to, 15, 63, random); break;
    case Type::kQ5_K: Draw<BlockQ5_K>(to, 31, 63, random); break;
    case Type::kQ6_K: Draw<BlockQ6_K>(to, 32, 128, random); break;
    case Type::kIQ4_NL: Draw<BlockIQ4_NL>(to, 127, 1, random); break;
    case Type::kIQ4_XS: Draw<BlockIQ4_XS>(to, 127, 32, random); break;
    case Type::kMXFP4: Draw<BlockMXFP4>(to, 12, 1, random); break;
    case Type::kTQ1_0: Draw<BlockTQ1_0>(to, 1, 1, random); break;
    case Type::kTQ2_0: Draw<BlockTQ2_0>(to, 2, 1, random); break;
    case Type::kIQ1_S: Draw<BlockIQ1_S>(to, 1, 15, random); break;
    case Type::kIQ1_M: Draw<BlockIQ1_M>(to, 1, 15, random); break;
    case Type::kIQ2_XXS: Draw<BlockIQ2_XXS>(to, 5, 31, random); break;
    case Type::kIQ2_XS: Draw<BlockIQ2_XS>(to, 5, 31, random); break;
    case Type::kIQ2_S: Draw<BlockIQ2_S>(to, 5, 31, random); break;
    case Type::kIQ3_XXS: Draw<BlockIQ3_XXS>(to, 15, 31, random); break;
    case Type::kIQ3_S: Draw<BlockIQ3_S>(to, 15, 31, random); break;
    default: Fail(ErrorKind::kInternal, "{} is not a quantised type", Traits(type).name);
  }
  return tensor;
}

// All of these types and the float types.
inline constexpr std::array kWeightTypes{
    Type::kF32,    Type::kF16,   Type::kBF16,    Type::kQ8_0,  Type::kQ4_0,  Type::kQ4_1,  Type::kQ5_0,
    Type::kQ5_1,   Type::kQ2_K,  Type::kQ3_K,    Type::kQ4_K,  Type::kQ5_K,  Type::kQ6_K,  Type::kIQ4_NL,
    Type::kIQ4_XS, Type::kMXFP4, Type::kTQ1_0,   Type::kTQ2_0, Type::kIQ1_S, Type::kIQ1_M, Type::kIQ2_XXS,
    Type::kIQ2_XS, Type::kIQ2_S, Type::kIQ3_XXS, Type::kIQ3_S};

// A weight [rows, cols] of any of them; floats are standard normal.
inline Tensor RandomWeight(Type type, std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  if (!IsFloat(type)) return RandomBlocks(type, rows, cols, stream);
  Tensor tensor = Tensor::Allocate(Type::kF32, {rows, cols});
  Random random(13, stream, RandomPurpose::kTest);
  for (float& x : tensor.mutable_floats()) x = random.Normal();
  return type == Type::kF32 ? tensor : tensor.ToFloat(type);
}

}  // namespace longspan
