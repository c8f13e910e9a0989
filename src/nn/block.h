// One transformer block: x + attention(norm(x)), then h + mlp(norm(h)) (Touvron et al. 2023, section 2.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "kernels/sparse_prefill.h"
#include "nn/linear.h"
#include "nn/rope.h"
#include "tensor/rows.h"

namespace longspan {

struct Block {
  std::span<const float> attention_norm, mlp_norm;  // [dim]
  Linear q, k, v, o;
  Linear gate, up, down;
};

struct BlockGradient {
  std::span<float> attention_norm, mlp_norm;  // empty where frozen
  LinearGradient q, k, v, o;
  LinearGradient gate, up, down;
};

// One sequence of a pass whose keys and values join those that a cache holds.
struct CachedSequence {
  std::int64_t rows;                  // its share of the rows of x
  std::int64_t first_order;           // tokens that come before, in `pages`
  std::span<std::byte* const> pages;  // this layer's, from the first token on, with room for the rows' own
};

// Memory that blocks use beside their results, kept from one to the next. The first is for both directions,
// the others are the gradients of a block's activations.
struct BlockWorkspace {
  LinearWorkspace linear;
  Matrix dhidden, dgate, dnormed, dattended, dq, dk, dv;
};

// What all blocks of one pass share. The rows of x are sequences one after another: either `sequences` of
// equal length that attend to themselves alone, as in training, or those of `cached`, of any lengths.
struct BlockContext {
  const Kernels& kernels;
  AttentionShape attention;
  float norm_epsilon;
  const RopeTable& rope;  // a row for each row of x
  std::int64_t sequences = 1;
  std::span<const std::int32_t> documents = {};  // of each row of x; empty: each sequence is one document
  KvLayout kv_layout = {};                       // of the pages of `cached`
  std::span<const CachedSequence> cached = {};
  const SparsePrefill* sparse = nullptr;  // for `cached`; null: attention is dense
  SparseTally* sparse_tally = nullptr;    // counts what is chosen; may be null
  DropoutStep dropout = {};
  BlockWorkspace* workspace = nullptr;  // null: each call takes memory of its own
};

// All that the backward pass reads. Filled by BlockForward; one block after another may use its memory.
struct BlockActivations {
  Matrix normed;            // [n, dim]     attention's input
  Matrix q, k, v;           // after RoPE
  Matrix attended;          // [n, q_dim]
  Matrix log_sum_exp;       // [sequences * heads, length]; not of cached sequences
  Matrix middle;            // [n, dim]     the residual stream in between; not of cached sequences
  Matrix mlp_normed;        // [n, dim]
  Matrix gate, up, hidden;  // [n, hidden_dim]
};

// x [n, dim] becomes the block's output. Norm, project, rotate, attend, project back; norm, SwiGLU.
void BlockForward(const Block& block, const BlockContext& context, Rows x, BlockActivations& activations);

// dx [n, dim] is the gradient with respect to the block's output and becomes that with respect to its input
// `x`. Gradients of parameters are added to. Only for sequences that attended to themselves.
void BlockBackward(const Block& block, const BlockContext& context, ConstRows x,
                   const BlockActivations& activations, Rows dx, const BlockGradient& gradient);

}  // namespace longspan
