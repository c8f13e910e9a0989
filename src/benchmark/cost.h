// What running a model costs, computed from its dimensions alone. Measured times are compared with it.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/weights.h"

namespace longspan {

// Floating-point operations, multiplications and additions counted each, of reading `tokens` after `depth`
// others: matrix products, and attention of each token to itself and all before it that its window has.
// Norms, RoPE and SwiGLU are left out: they are well below a hundredth. Without the LM head.
double ForwardOperations(const LlamaConfig& config, std::int64_t tokens, std::int64_t depth);

// The operations of attention alone.
double AttentionOperations(const LlamaConfig& config, std::int64_t tokens, std::int64_t depth);

// The operations of the logits of `rows` tokens.
double LogitsOperations(const LlamaConfig& config, std::int64_t rows);

// Bytes that any pass with logits reads at least: every weight once, of the embedding one row.
double WeightBytes(const Weights& weights);

// Bytes of keys and values of `type` that a token reads after `depth` others.
double KvBytes(const LlamaConfig& config, std::int64_t depth, Type type);

}  // namespace longspan
