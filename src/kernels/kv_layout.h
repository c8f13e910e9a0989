// How a KV cache's pages hold keys and values.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/type.h"

namespace longspan {

inline constexpr std::int64_t kKvBlock = 64;  // tokens of a page

// A page holds one layer's keys and values of kKvBlock tokens. For each KV head it has K [kKvBlock, head_dim]
// and then V [kKvBlock, head_dim], token by token, in rows of `type`. Appending a token is then one write per
// row, quantised rows have their scales along head_dim, and what one task of attention reads is contiguous.
//
// Quantised rows (Q8_0, Q4_0) hold K and V of each head times the normalised Hadamard matrix H. Some channels
// of keys are far larger than the rest and would cost the others of their quantised block their precision.
// The rotation spreads them (Ashkboos et al. 2024, "QuaRot"). H is orthogonal and its own inverse: with
// rotated queries the scores are the same, and outputs are rotated back.
struct KvLayout {
  Type type = Type::kBF16;  // F32, F16, BF16, Q8_0 or Q4_0
  std::int64_t kv_heads = 0, head_dim = 0;

  // Bytes of one token's K, or V, of one head. Error(kUnsupported) for a type that caches do not have, or
  // that cannot hold heads of this size: quantised ones take powers of two from 32.
  std::int64_t RowBytes() const;
  bool Holds() const;  // whether there is such a cache
  std::int64_t HeadBytes() const { return 2 * kKvBlock * RowBytes(); }
  std::int64_t PageBytes() const { return kv_heads * HeadBytes(); }

  bool rotated() const { return type == Type::kQ8_0 || type == Type::kQ4_0; }
};

// Multiplies x by the normalised Hadamard matrix of its size, a power of two (fast Walsh-Hadamard transform).
void HadamardTransform(std::span<float> x);

}  // namespace longspan
