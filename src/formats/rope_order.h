// The two orders of the rows of q and k.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace longspan {

// Which two rows of a q or k head are one rotated pair j of head_dim / 2.
enum class RopeOrder {
  kHalfSplit,    // rows j and j + head_dim / 2: Hugging Face
  kInterleaved,  // rows 2j and 2j + 1: GGUF (but not of Qwen2), llama2.c, and Weights
};

// Brings whole heads, `head_dim` rows of `row_bytes` each, from the other order into `to`.
// Error(kInvalidFile) if `from` is not a whole number of heads.
void PermuteRows(std::span<const std::byte> from, std::span<std::byte> out, std::size_t row_bytes,
                 std::int64_t head_dim, RopeOrder to);

// A copy of `tensor` [heads * head_dim, cols], brought into `to` in the same way.
Tensor PermuteRows(const Tensor& tensor, std::int64_t head_dim, RopeOrder to);

}  // namespace longspan
