// A model's weights: tensors in whatever type the file has, views over mapped memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weight_id.h"
#include "tensor/tensor.h"

namespace longspan {

// Linear weights are {out, in}. The rows of q and k, and their biases, are in GGUF's order: in a Llama that
// of interleaved-pair RoPE (dimension 2j is rotated with 2j + 1), in a Qwen2 as they were trained (j with j +
// head_dim / 2).
struct LayerWeights {
  Tensor attention_norm;  // {dim}
  Tensor q;               // {q_dim, dim}
  Tensor k;               // {kv_dim, dim}
  Tensor v;               // {kv_dim, dim}
  Tensor q_bias;          // {q_dim}; these three are empty where there are none
  Tensor k_bias;          // {kv_dim}
  Tensor v_bias;          // {kv_dim}
  Tensor o;               // {dim, q_dim}
  Tensor mlp_norm;        // {dim}
  Tensor gate;            // {hidden_dim, dim}
  Tensor up;              // {hidden_dim, dim}
  Tensor down;            // {dim, hidden_dim}
};

struct Weights {
  Tensor embedding;     // {vocab_size, dim}
  Tensor output_norm;   // {dim}
  Tensor output;        // {vocab_size, dim}; the embedding itself where tied
  Tensor rope_factors;  // {head_dim / 2}, divides each inverse frequency; empty where the file has none
  std::vector<LayerWeights> layers;

  // Error(kInvalidFile), naming `where`, unless every tensor has the shape that `config` says and a type that
  // longspan computes with.
  void Validate(const LlamaConfig& config, std::string_view where) const;
};

// A tensor of a random initialisation: its shape, and the standard deviation of its normal values; 0 for a
// norm, which is one throughout. Biases are drawn too: a zero would hide mistakes.
struct InitialTensor {
  WeightId id;
  std::vector<std::int64_t> shape;
  double deviation = 0;
};

// The initial tensors of a model that learns well. They have kInitialDeviation, except the two projections
// that write to the residual stream, which have kInitialDeviation / sqrt(2 layers) (Radford et al. 2019,
// section 2.3).
inline constexpr double kInitialDeviation = 0.02;
std::vector<InitialTensor> InitialTensors(const LlamaConfig& config);

// These tensors with random values, in F32.
Weights RandomWeights(const LlamaConfig& config, std::uint64_t seed);

// Every weight decoded to F32 in memory of its own, as full training needs.
Weights ToF32(const Weights& weights);

// Matrices rounded to a float type; norms and biases stay F32. Error(kInvalidFile) where a 16-bit type would
// hold a NaN or an infinity, as a training that diverged leaves them.
Weights ToFloat(const Weights& weights, Type type);

// The bytes of InHugePages' memory.
std::size_t HugePageBytes(const Weights& weights, const Kernels& kernels);

// The same weights with all that decoding reads for each token in huge pages: the kernels' packing of a
// matrix that has one, and a copy of every other tensor. An embedding that is no output stays where it is,
// because decoding looks up a row of it. Error(kOutOfMemory).
Weights InHugePages(const Weights& weights, const Kernels& kernels);

// Visits (WeightId, tensor) in a fixed order. Biases are visited if `biases` is true, the output unless it is
// tied.
template <class W, class Visitor>
void ForEachTensor(W& weights, bool tied, bool biases, Visitor&& visit) {
  visit(WeightId{-1, Part::kEmbedding}, weights.embedding);
  for (std::int64_t i = 0; i < std::ssize(weights.layers); ++i) {
    auto& layer = weights.layers[i];
    visit(WeightId{i, Part::kAttentionNorm}, layer.attention_norm);
    visit(WeightId{i, Part::kQ}, layer.q);
    visit(WeightId{i, Part::kK}, layer.k);
    visit(WeightId{i, Part::kV}, layer.v);
    if (biases) {
      visit(WeightId{i, Part::kQBias}, layer.q_bias);
      visit(WeightId{i, Part::kKBias}, layer.k_bias);
      visit(WeightId{i, Part::kVBias}, layer.v_bias);
    }
    visit(WeightId{i, Part::kO}, layer.o);
    visit(WeightId{i, Part::kMlpNorm}, layer.mlp_norm);
    visit(WeightId{i, Part::kGate}, layer.gate);
    visit(WeightId{i, Part::kUp}, layer.up);
    visit(WeightId{i, Part::kDown}, layer.down);
  }
  visit(WeightId{-1, Part::kOutputNorm}, weights.output_norm);
  if (!tied) visit(WeightId{-1, Part::kOutput}, weights.output);
}

// The same for existing weights, with the biases that they have.
template <class W, class Visitor>
void ForEachTensor(W& weights, bool tied, Visitor&& visit) {
  const bool biases = !weights.layers.empty() && !weights.layers.front().q_bias.empty();
  ForEachTensor(weights, tied, biases, std::forward<Visitor>(visit));
}

}  // namespace longspan
