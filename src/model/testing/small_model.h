// A small random model for tests, whose weights are large enough that a mistake shows, and its twin in double
// precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/rope_scaling.h"
#include "model/testing/small_config.h"
#include "model/weights.h"
#include "nn/testing/double_matrix.h"
#include "nn/testing/reference_block.h"

namespace longspan::oracle {

// As random as RandomWeights, but as strong as a trained model's: projections keep the size of what they
// project, norms differ from one, and biases are as large as what they are added to.
inline Weights LivelyWeights(const LlamaConfig& config, std::uint64_t seed) {
  Weights weights = ToF32(RandomWeights(config, seed));
  std::uint64_t stream = 0;
  ForEachTensor(weights, config.tied_embeddings, [&](WeightId id, Tensor& tensor) {
    const PartKind kind = Traits(id.part).kind;
    const bool norm = kind == PartKind::kNorm;
    float deviation = 1.0f / std::sqrt(static_cast<float>(tensor.cols()));
    if (norm) deviation = 0.3f;
    if (kind == PartKind::kBias) deviation = 1.0f;
    Random random(seed, stream++, RandomPurpose::kTest);
    for (float& x : tensor.mutable_floats()) x = (norm ? 1.0f : 0.0f) + deviation * random.Normal();
  });
  return weights;
}

// The same weights in F16 or BF16; norms stay as they are.
inline Weights InType(const Weights& weights, bool tied, Type type) {
  Weights out = weights;
  ForEachTensor(out, tied, [&](WeightId, Tensor& tensor) {
    if (tensor.rows() == 1) return;
    Tensor half = Tensor::Allocate(type, tensor.shape());
    std::byte* to = half.mutable_bytes().data();
    for (const float x : tensor.floats()) {
      const std::uint16_t bits = type == Type::kF16 ? F32ToF16(x) : F32ToBF16(x);
      std::memcpy(to, &bits, sizeof(bits));
      to += sizeof(bits);
    }
    tensor = half;
  });
  if (tied) out.output = out.embedding;
  return out;
}

inline std::vector<std::int32_t> RandomTokens(std::int64_t n, std::int64_t vocab_size) {
  std::vector<std::int32_t> tokens;
  Random random(31, 0, RandomPurpose::kTest);
  for (std::int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<std::int32_t>(random.Below(vocab_size)));
  return tokens;
}

// Logits [tokens, vocab_size] of a whole sequence, in doubles and without a cache.
inline DoubleMatrix ReferenceLogits(const LlamaConfig& config, const Weights& weights,
                                    std::span<const std::int32_t> tokens) {
  const auto n = static_cast<std::int64_t>(tokens.size());
  const DoubleMatrix embedding = Widen(weights.embedding);
  DoubleMatrix x(n, config.dim);
  for (std::int64_t i = 0; i < n; ++i) {
    std::ranges::copy(RowsOf<const double>(embedding)[tokens[i]], RowsOf<double>(x)[i].begin());
  }
  const RopeFrequencies rope = MakeRopeFrequencies(config);
  ReferenceContext context{
      {config.heads, config.kv_heads, config.head_dim, 1.0f / std::sqrt(static_cast<float>(config.head_dim)),
       config.sliding_window > 0 ? config.sliding_window : AttentionShape::kNoWindow},
      static_cast<double>(static_cast<float>(config.norm_epsilon)),
      std::vector<std::int32_t>(tokens.size()),
      rope.inverse,
      rope.magnitude};
  context.pairing = rope.pairing;
  std::iota(context.positions.begin(), context.positions.end(), 0);
  const auto vector = [](const Tensor& t) { return Widen(t.ToF32().floats()); };
  const auto linear = [&](const Tensor& t, const Tensor& bias = {}) {
    ReferenceLinear layer(Linear{t});
    if (!bias.empty()) layer.bias = vector(bias);
    return layer;
  };
  for (const LayerWeights& l : weights.layers) {
    const ReferenceBlock block{vector(l.attention_norm), vector(l.mlp_norm),    linear(l.q, l.q_bias),
                               linear(l.k, l.k_bias),    linear(l.v, l.v_bias), linear(l.o),
                               linear(l.gate),           linear(l.up),          linear(l.down)};
    x = Forward(block, context, x);
  }
  return linear(weights.output).Forward(Normed(x, vector(weights.output_norm), context.norm_epsilon));
}

}  // namespace longspan::oracle
