// The transformer, for inference: tokens in, hidden states and logits out.
#pragma once

#include <cstdint>
#include <span>

#include "model/config.h"
#include "model/kv_cache.h"
#include "model/weights.h"
#include "tensor/rows.h"

namespace longspan {

class Kernels;

class Transformer {
 public:
  // Weights are views; what they look at must stay alive (their tensors own it).
  Transformer(LlamaConfig config, Weights weights, const Kernels& kernels);

  const LlamaConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }

  // Runs `tokens` as the continuation of the sequence in `cache`, whose keys and values they join; positions
  // continue from cache.length(). hidden [tokens, dim] is the residual stream after the output norm.
  void Forward(std::span<const std::int32_t> tokens, KvCache& cache, Rows hidden) const;

  // logits [rows, vocab_size] of hidden [rows, dim].
  void Logits(ConstRows hidden, Rows logits) const;

 private:
  LlamaConfig config_;
  Weights weights_;
  const Kernels& kernels_;
};

}  // namespace longspan
