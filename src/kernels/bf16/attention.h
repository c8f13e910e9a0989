// Attention of many queries on tiles: both products in BF16 with sums in F32, around an online softmax in
// F32.
//
// As kernels/vector does, everything is transposed: S^T = K Q^T, a softmax down the columns, O^T = V^T P^T. K
// as a page of BF16 stores it is already a left operand. Q is packed once a task. V is transposed once a
// task, for all columns: the queries of all heads that share the KV head.
#pragma once

#include <cstdint>

#include "kernels/attention_views.h"
#include "kernels/bf16/tiles.h"

namespace longspan::bf16 {

// Whether a sequence has enough queries for tiles to pay, forward and backward.
inline bool HasManyQueries(const AttentionShape& shape, const AttentionInput& s) {
  return shape.group() * s.q.rows > kTileRows;
}

// Kernels::Attention with queries, keys, values and probabilities rounded to BF16. Tiles is one of
// tiles.h. Needs VectorsSupported().
template <class Tiles>
void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences);

}  // namespace longspan::bf16
