// Random weights of every type, drawn as blocks: any bytes are valid codes, and the scales are made sane.
#pragma once

#include <cstring>
#include <string>

#include "base/random.h"
#include "tensor/blocks.h"
#include "tensor/float16.h"
#include "tensor/tensor.h"

namespace longspan {

// Types with blocks that RandomBlocks can draw, floats included.
inline constexpr Type kBlockTypes[] = {Type::kF32,  Type::kF16,  Type::kBF16, Type::kQ8_0, Type::kQ4_0,
                                       Type::kQ4_1, Type::kQ5_0, Type::kQ5_1, Type::kQ2_K, Type::kQ3_K,
                                       Type::kQ4_K, Type::kQ5_K, Type::kQ6_K};

template <class Block>
void SetScales(Block& block, Random& random) {
  // Of either sign, as files have them.
  const auto scale = [&] { return PackedHalf::FromFloat(0.01f * random.Normal()); };
  block.d = scale();
  if constexpr (requires { block.m; }) block.m = scale();
  if constexpr (requires { block.dmin; }) block.dmin = scale();
}

inline Tensor RandomBlocks(Type type, std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Tensor tensor = Tensor::Allocate(type, {rows, cols});
  Random random(17, stream, RandomPurpose::kTest);
  const std::span<std::byte> bytes = tensor.mutable_bytes();
  if (type == Type::kF32) {
    for (float& x : tensor.mutable_floats()) x = random.Normal();
    return tensor;
  }
  if (type == Type::kF16 || type == Type::kBF16) {
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
      const std::uint16_t bits = type == Type::kF16 ? F32ToF16(random.Normal()) : F32ToBF16(random.Normal());
      std::memcpy(&bytes[i], &bits, sizeof(bits));
    }
    return tensor;
  }
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.Next());
  const auto each = [&]<class Block>(Block*) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(Block)) SetScales(reinterpret_cast<Block&>(bytes[i]), random);
  };
  switch (type) {
    case Type::kQ8_0: each(static_cast<BlockQ8_0*>(nullptr)); break;
    case Type::kQ4_0: each(static_cast<BlockQ4_0*>(nullptr)); break;
    case Type::kQ4_1: each(static_cast<BlockQ4_1*>(nullptr)); break;
    case Type::kQ5_0: each(static_cast<BlockQ5_0*>(nullptr)); break;
    case Type::kQ5_1: each(static_cast<BlockQ5_1*>(nullptr)); break;
    case Type::kQ2_K: each(static_cast<BlockQ2_K*>(nullptr)); break;
    case Type::kQ3_K: each(static_cast<BlockQ3_K*>(nullptr)); break;
    case Type::kQ4_K: each(static_cast<BlockQ4_K*>(nullptr)); break;
    case Type::kQ5_K: each(static_cast<BlockQ5_K*>(nullptr)); break;
    case Type::kQ6_K: each(static_cast<BlockQ6_K*>(nullptr)); break;
    default: break;
  }
  return tensor;
}

}  // namespace longspan
