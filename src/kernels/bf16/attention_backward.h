// The backward pass of attention on tiles, over rows of float: all five products in BF16 with sums in F32.
//
// With S^T = K Q^T computed again, P^T from it and the log-sum-exp that the forward pass kept, and
// dP^T = V dO^T, the gradient of the scores dS^T (kernels/bf16/softmax_backward.h) gives
//
//   dV = P^T dO      dK = dS^T Q      dQ^T = K^T dS^T
//
// The order of the products is such that nothing that grows with the square of the length is transposed.
#pragma once

#include "kernels/attention_views.h"
#include "kernels/bf16/tiles.h"

namespace longspan::bf16 {

// Kernels::AttentionBackward with queries, keys, values, probabilities and their gradients rounded to BF16.
// Scores are computed as bf16::Attention computes them, so that its log-sum-exp fits. Tiles is one of
// tiles.h. Needs VectorsSupported().
template <class Tiles>
void AttentionBackward(const AttentionShape& shape, std::span<const AttentionBackwardSequence> sequences);

}  // namespace longspan::bf16
