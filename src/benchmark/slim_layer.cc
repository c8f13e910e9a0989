#include "benchmark/slim_layer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace longspan {
namespace {

constexpr std::int64_t kFewWords = 64;

// The tensor's first bytes, seen as a matrix of this shape.
Tensor Cut(const Tensor& tensor, std::int64_t rows, std::int64_t cols) {
  return {tensor.type(), {rows, cols}, tensor.bytes().first(rows * RowBytes(tensor.type(), cols)), nullptr};
}

Tensor CutVector(const Tensor& tensor, std::int64_t n) {
  if (tensor.empty()) return tensor;
  return {tensor.type(), {n}, tensor.bytes().first(RowBytes(tensor.type(), n)), nullptr};
}

// About `share` of `whole`: a multiple of `step`, which divides it.
std::int64_t Portion(std::int64_t whole, std::int64_t step, double share) {
  const std::int64_t steps = whole / step;
  return step * std::clamp<std::int64_t>(std::llround(share * static_cast<double>(steps)), 1, steps);
}

// The least multiple of `unit` that makes whole blocks of the type; all of `whole` where none divides it.
std::int64_t Step(std::int64_t whole, std::int64_t unit, Type type) {
  const std::int64_t step = std::lcm(unit, Traits(type).block_elements);
  return whole % step == 0 ? step : whole;
}

}  // namespace

SlimLayer MakeSlimLayer(const LlamaConfig& config, const Weights& weights, double share) {
  const LayerWeights& layer = weights.layers.front();
  SlimLayer slim{config, weights};
  LlamaConfig& c = slim.config;
  const std::int64_t group = config.heads / config.kv_heads;
  const std::int64_t q_dim =
      Portion(config.q_dim(), Step(config.q_dim(), group * config.head_dim, layer.o.type()), share);
  c.layers = 1;
  c.vocab_size = std::min(kFewWords, config.vocab_size);
  c.heads = q_dim / config.head_dim;
  c.kv_heads = c.heads / group;
  c.hidden_dim = Portion(config.hidden_dim, Step(config.hidden_dim, 1, layer.down.type()), share);

  slim.weights.embedding = Cut(weights.embedding, c.vocab_size, c.dim);
  slim.weights.output = Cut(weights.output, c.vocab_size, c.dim);
  slim.weights.layers.resize(1);
  LayerWeights& l = slim.weights.layers.front();
  l.q = Cut(layer.q, c.q_dim(), c.dim);
  l.k = Cut(layer.k, c.kv_dim(), c.dim);
  l.v = Cut(layer.v, c.kv_dim(), c.dim);
  l.q_bias = CutVector(layer.q_bias, c.q_dim());
  l.k_bias = CutVector(layer.k_bias, c.kv_dim());
  l.v_bias = CutVector(layer.v_bias, c.kv_dim());
  l.o = Cut(layer.o, c.dim, c.q_dim());
  l.gate = Cut(layer.gate, c.hidden_dim, c.dim);
  l.up = Cut(layer.up, c.hidden_dim, c.dim);
  l.down = Cut(layer.down, c.dim, c.hidden_dim);
  return slim;
}

}  // namespace longspan
