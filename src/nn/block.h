// One transformer block: x + attention(norm(x)), then h + mlp(norm(h)) (Touvron et al. 2023, section 2.2).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"
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

// Where a block's keys and values go, and all that its queries may look at: a layer of a cache.
class KvStore {
 public:
  virtual ~KvStore() = default;
  // Joins k, v [n, kv_dim] to the sequence and returns it whole.
  virtual KvView Append(const Kernels& kernels, ConstRows k, ConstRows v) = 0;
};

// What all blocks of one pass share. The rows of x are `sequences` sequences of equal length, one after another.
struct BlockContext {
  const Kernels& kernels;
  AttentionShape attention;
  float norm_epsilon;
  const RopeTable& rope;                   // a row for each row of x
  std::int64_t sequences = 1;
  std::span<const std::int32_t> documents = {};  // of each row of x; empty where each sequence is one document
  std::int64_t first_order = 0;            // tokens of the sequence that come before, in `store`
  KvStore* store = nullptr;                // none: the sequences attend to themselves alone
  DropoutStep dropout = {};
};

// All that the backward pass reads. Filled by BlockForward.
struct BlockActivations {
  Matrix normed;            // [n, dim]     attention's input
  Matrix q, k, v;           // after RoPE
  Matrix attended;          // [n, q_dim]
  Matrix log_sum_exp;       // [sequences * heads, length]
  Matrix middle;            // [n, dim]     the residual stream between the two halves
  Matrix mlp_normed;        // [n, dim]
  Matrix gate, up, hidden;  // [n, hidden_dim]
};

// x [n, dim] becomes the block's output. Norm, project, turn, attend, project back; norm, SwiGLU.
void BlockForward(const Block& block, const BlockContext& context, Rows x, BlockActivations& activations);

// dx [n, dim] becomes the gradient with respect to the block's input `x`, given that with respect to its output.
// Gradients of parameters are added to. Only for sequences that attended to themselves.
void BlockBackward(const Block& block, const BlockContext& context, ConstRows x, const BlockActivations& activations,
                   Rows dx, const BlockGradient& gradient);

}  // namespace longspan
