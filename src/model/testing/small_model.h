// A small random model for tests, large enough in its effects that a mistake shows, and its twin in double
// precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/config.h"
#include "model/rope_scaling.h"
#include "model/weights.h"
#include "nn/testing/double_matrix.h"
#include "nn/testing/reference_block.h"

namespace longspan::oracle {

inline LlamaConfig SmallConfig() {
  LlamaConfig c;
  c.vocab_size = 61;
  c.dim = 24;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.hidden_dim = 40;
  c.context = 256;
  return c;
}

// As random as RandomWeights, but as strong as a trained model's: projections keep the size of what they
// project, and norms differ from one.
inline Weights LivelyWeights(const LlamaConfig& config, std::uint64_t seed) {
  Weights weights = ToF32(RandomWeights(config, seed));
  std::uint64_t stream = 0;
  ForEachTensor(weights, config.tied_embeddings, [&](const std::string&, Tensor& tensor) {
    const bool norm = tensor.rows() == 1;
    const float deviation = norm ? 0.3f : 1.0f / std::sqrt(static_cast<float>(tensor.cols()));
    Random random(seed, stream++, RandomPurpose::kTest);
    for (float& x : tensor.mutable_floats()) x = (norm ? 1.0f : 0.0f) + deviation * random.Normal();
  });
  return weights;
}

// The same weights in F16 or BF16; norms stay as they are.
inline Weights InType(const Weights& weights, bool tied, Type type) {
  Weights out = weights;
  ForEachTensor(out, tied, [&](const std::string&, Tensor& tensor) {
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
    std::ranges::copy(RowsOf<const double>(embedding)[tokens[static_cast<std::size_t>(i)]],
                      RowsOf<double>(x)[i].begin());
  }
  const RopeFrequencies rope = MakeRopeFrequencies(config);
  ReferenceContext context{
      {config.heads, config.kv_heads, config.head_dim, 1.0f / std::sqrt(static_cast<float>(config.head_dim))},
      static_cast<double>(static_cast<float>(config.norm_epsilon)),
      std::vector<std::int32_t>(tokens.size()),
      rope.inverse,
      rope.magnitude};
  std::iota(context.positions.begin(), context.positions.end(), 0);
  const auto norm = [](const Tensor& t) { return Widen(t.ToF32().floats()); };
  const auto linear = [](const Tensor& t) { return ReferenceLinear(Linear{t}); };
  for (const LayerWeights& l : weights.layers) {
    const ReferenceBlock block{
        norm(l.attention_norm), norm(l.mlp_norm), linear(l.q),   linear(l.k), linear(l.v), linear(l.o),
        linear(l.gate),         linear(l.up),     linear(l.down)};
    x = Forward(block, context, x);
  }
  return linear(weights.output).Forward(Normed(x, norm(weights.output_norm), context.norm_epsilon));
}

}  // namespace longspan::oracle
