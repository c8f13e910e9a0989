// How a page of a cache holds keys and values.
#pragma once

#include <cstdint>

#include "tensor/type.h"

namespace longspan {

inline constexpr std::int64_t kKvBlock = 64;  // tokens of a page

// A page of kKvBlock tokens holds one layer's keys and values: for each KV head in turn K [kKvBlock, head_dim] and
// then V [kKvBlock, head_dim], token by token, in rows of `type`.
struct KvLayout {
  Type type = Type::kF32;
  std::int64_t kv_heads = 0, head_dim = 0;

  std::int64_t RowBytes() const { return longspan::RowBytes(type, head_dim); }  // one token's K, or V, of one head
  std::int64_t HeadBytes() const { return 2 * kKvBlock * RowBytes(); }
  std::int64_t PageBytes() const { return kv_heads * HeadBytes(); }
};

}  // namespace longspan
