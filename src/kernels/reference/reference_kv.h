// Pages of a KV cache, written and read in plain loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/attention_views.h"
#include "tensor/rows.h"

namespace longspan::reference {

// Kernels::StoreKv.
void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
             std::span<std::byte* const> pages);

// The keys or values of a view as floats, rotated back: [length, kv_heads * head_dim].
Matrix Decode(const KvView& view, KvBlock::RowsOfType KvBlock::*which, std::int64_t kv_heads,
              std::int64_t head_dim);

}  // namespace longspan::reference
