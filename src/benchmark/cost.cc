#include "benchmark/cost.h"

#include <algorithm>

#include "model/kv_cache.h"

namespace longspan {

double ForwardOperations(const LlamaConfig& config, std::int64_t tokens, std::int64_t depth) {
  const auto weights =
      static_cast<double>(config.dim * (2 * config.q_dim() + 2 * config.kv_dim() + 3 * config.hidden_dim));
  return static_cast<double>(config.layers) * 2 * static_cast<double>(tokens) * weights +
         AttentionOperations(config, tokens, depth);
}

double AttentionOperations(const LlamaConfig& config, std::int64_t tokens, std::int64_t depth) {
  // Token i sees depth + i + 1 keys, or those of its window. A product with the key and one with the value,
  // two operations an element.
  const auto n = static_cast<double>(tokens);
  const std::int64_t window = config.sliding_window;
  const std::int64_t growing = window > 0 ? std::clamp<std::int64_t>(window - depth, 0, tokens) : tokens;
  const auto g = static_cast<double>(growing);
  const double keys =
      g * static_cast<double>(depth) + g * (g + 1) / 2 + (n - g) * static_cast<double>(window);
  return static_cast<double>(config.layers) * 4 * keys * static_cast<double>(config.q_dim());
}

double LogitsOperations(const LlamaConfig& config, std::int64_t rows) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(config.vocab_size) *
         static_cast<double>(config.dim);
}

double WeightBytes(const Weights& weights) {
  const auto size = [](const Tensor& tensor) { return static_cast<double>(tensor.bytes().size()); };
  double bytes =
      static_cast<double>(weights.embedding.row_bytes()) + size(weights.output_norm) + size(weights.output);
  for (const LayerWeights& l : weights.layers) {
    for (const Tensor* t : {&l.attention_norm, &l.q, &l.k, &l.v, &l.q_bias, &l.k_bias, &l.v_bias, &l.o,
                            &l.mlp_norm, &l.gate, &l.up, &l.down}) {
      bytes += size(*t);
    }
  }
  return bytes;
}

double KvBytes(const LlamaConfig& config, std::int64_t depth, Type type) {
  const std::int64_t window = config.sliding_window,
                     seen = window > 0 ? std::min(window, depth + 1) : depth + 1;
  return static_cast<double>(KvCache::Bytes(config, kKvBlock, type)) / kKvBlock * static_cast<double>(seen);
}

}  // namespace longspan
