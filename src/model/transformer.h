// The transformer: tokens in, hidden states and logits out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/activation_listener.h"
#include "model/adapter.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/rope_scaling.h"
#include "model/weight_id.h"
#include "model/weights.h"
#include "nn/block.h"
#include "tensor/rows.h"

namespace longspan {

// What one sequence adds in a pass: `tokens`, at least one, that continue what `cache` holds.
struct SequenceTokens {
  std::span<const std::int32_t> tokens;
  KvCache* cache;
};

class Transformer {
 public:
  // Weights are views; their tensors keep alive what they look at. Norms are decoded once, here.
  Transformer(LlamaConfig config, Weights weights, const Kernels& kernels);

  // The same model, adapters included, with other kernels.
  Transformer(const Transformer& model, const Kernels& kernels);

  // From now on, layers compute with the adapter too, times `factor`; several add up. Nothing is merged:
  // weights stay as they are. If the embedding is also the LM head, its adapter changes what tokens become
  // but not the head, as PEFT trains it. Error(kInvalidFile) where the adapter does not fit.
  void Adapt(const LoraAdapter& adapter, double factor = 1);

  // From now on, deep in a text, Forward attends only to the KV blocks that matter. Off by default.
  void SetSparsePrefill(const SparsePrefill& sparse);
  // What was chosen since then; null where attention is dense.
  const SparseTally* sparse_tally() const { return sparse_tally_.get(); }

  const LlamaConfig& config() const { return config_; }
  const Weights& weights() const { return weights_; }
  const Kernels& kernels() const { return kernels_; }

  // Runs several sequences at once, each with a cache of its own; all caches have one layout. Keys and values
  // join the caches, and positions continue from their lengths. hidden [tokens of all, dim], one sequence
  // after another, is the residual stream after the output norm. On error all caches are unchanged. Errors
  // are a lack of pages, a token outside the vocabulary, and Ctrl-C, which a long pass checks. A listener
  // sees the inputs of all linear layers, layer by layer.
  void Forward(std::span<const SequenceTokens> sequences, Rows hidden,
               ActivationListener* listener = nullptr) const;
  void Forward(std::span<const std::int32_t> tokens, KvCache& cache, Rows hidden,
               ActivationListener* listener = nullptr) const;

  // logits [rows, vocab_size] of hidden [rows, dim].
  void Logits(ConstRows hidden, Rows logits, ActivationListener* listener = nullptr) const;

  const Linear& embedding() const { return embedding_; }  // a table: its rows are looked up

  // For training, which walks the blocks itself.
  std::span<const Block> blocks() const { return blocks_; }
  std::span<Block> mutable_blocks() { return blocks_; }
  std::span<const float> output_norm() const { return weights_.output_norm.floats(); }
  const RopeFrequencies& rope() const { return rope_; }
  AttentionShape attention_shape() const;

 private:
  void RunBlocks(std::span<const SequenceTokens> sequences, const RopeTable& rope, Rows hidden,
                 ActivationListener* listener) const;
  Linear* FindAdaptable(WeightId id);  // nullptr for what the model does not have, or no adapter sits on

  LlamaConfig config_;
  Weights weights_;
  const Kernels& kernels_;
  RopeFrequencies rope_;
  Linear embedding_, output_;
  std::vector<Block> blocks_;
  std::vector<std::shared_ptr<const Adapter>> adapters_;  // that the layers point to
  std::optional<SparsePrefill> sparse_;
  std::unique_ptr<SparseTally> sparse_tally_;  // set where sparse_ is
};

}  // namespace longspan
