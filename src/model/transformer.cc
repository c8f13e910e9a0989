#include "model/transformer.h"

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "nn/embedding.h"

namespace longspan {
namespace {

void DecodeNorm(Tensor& norm) {
  if (norm.type() != Type::kF32) norm = norm.ToF32();
}

}  // namespace

Transformer::Transformer(LlamaConfig config, Weights weights, const Kernels& kernels)
    : config_(std::move(config)), weights_(std::move(weights)), kernels_(kernels) {
  DecodeNorm(weights_.output_norm);
  const Tensor factors = weights_.rope_factors.empty() ? Tensor() : weights_.rope_factors.ToF32();
  rope_ = MakeRopeFrequencies(config_, factors.empty() ? std::span<const float>() : factors.floats());
  for (LayerWeights& layer : weights_.layers) {
    DecodeNorm(layer.attention_norm);
    DecodeNorm(layer.mlp_norm);
    Block block;
    block.attention_norm = layer.attention_norm.floats();
    block.mlp_norm = layer.mlp_norm.floats();
    block.q.weight = layer.q;
    block.k.weight = layer.k;
    block.v.weight = layer.v;
    block.o.weight = layer.o;
    block.gate.weight = layer.gate;
    block.up.weight = layer.up;
    block.down.weight = layer.down;
    blocks_.push_back(std::move(block));
  }
}

AttentionShape Transformer::attention_shape() const {
  return {config_.heads, config_.kv_heads, config_.head_dim, 1.0f / std::sqrt(static_cast<float>(config_.head_dim))};
}

void Transformer::Forward(std::span<const std::int32_t> tokens, KvCache& cache, Rows hidden) const {
  std::vector<std::int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), static_cast<std::int32_t>(cache.length()));
  const RopeTable rope(positions, rope_.inverse, rope_.magnitude);
  EmbeddingForward(weights_.embedding, tokens, hidden);
  BlockContext context{kernels_, attention_shape(), static_cast<float>(config_.norm_epsilon), rope};
  context.first_order = cache.length();
  BlockActivations activations;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    context.store = &cache.layers_[i];
    BlockForward(blocks_[i], context, hidden, activations);
  }
  cache.length_ += static_cast<std::int64_t>(tokens.size());
  kernels_.RmsNorm(hidden, output_norm(), context.norm_epsilon, hidden);
}

void Transformer::Logits(ConstRows hidden, Rows logits) const {
  kernels_.MatMul(hidden, weights_.output, logits, Store::kSet);
}

}  // namespace longspan
