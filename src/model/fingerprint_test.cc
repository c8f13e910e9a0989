#include "model/fingerprint.h"

#include <gtest/gtest.h>

#include "model/testing/small_model.h"

namespace longspan {
namespace {

std::uint64_t FingerprintOf(const LlamaConfig& config, const Weights& weights) {
  return Fingerprint(Transformer(config, weights, ReferenceKernels()));
}

TEST(FingerprintTest, IsTheModelsOwn) {
  const LlamaConfig config = oracle::SmallConfig();
  const std::uint64_t one = FingerprintOf(config, oracle::LivelyWeights(config, 1));
  EXPECT_EQ(FingerprintOf(config, oracle::LivelyWeights(config, 1)), one);
  EXPECT_NE(FingerprintOf(config, oracle::LivelyWeights(config, 2)), one);
}

TEST(FingerprintTest, AllThatChangesKeysChangesIt) {
  LlamaConfig config = oracle::SmallConfig();
  config.attention_bias = true;
  const Weights weights = oracle::LivelyWeights(config, 1);
  const std::uint64_t one = FingerprintOf(config, weights);
  LlamaConfig theta = config, scaled = config, longer = config, halves = config, window = config;
  halves.architecture = Architecture::kQwen2;
  window.sliding_window = 7;
  theta.rope_theta *= 2;
  scaled.rope_scaling.kind = RopeScaling::Kind::kLinear;
  scaled.rope_scaling.factor = 2;
  longer.context *= 2;
  longer.name = "the same model by another name";
  EXPECT_NE(FingerprintOf(theta, weights), one);
  EXPECT_NE(FingerprintOf(scaled, weights), one);
  EXPECT_NE(FingerprintOf(halves, weights), one);
  EXPECT_NE(FingerprintOf(window, weights), one);
  EXPECT_EQ(FingerprintOf(longer, weights), one);

  ForEachTensor(weights, false, [&](WeightId id, const Tensor&) {
    Weights changed = ToF32(weights);  // tensors of its own
    ForEachTensor(changed, false, [&](WeightId other, Tensor& tensor) {
      if (other == id) tensor.mutable_floats()[0] += 1;
    });
    // Keys and values do not depend on the output's weights.
    const bool output = id.part == Part::kOutput || id.part == Part::kOutputNorm;
    EXPECT_EQ(FingerprintOf(config, changed) == one, output) << Name(id);
  });
}

// Every byte counts, even where the other fingerprint takes samples.
TEST(FingerprintTest, OfWeightsCoversAllOfThem) {
  LlamaConfig config = oracle::SmallConfig();
  config.attention_bias = true;
  const Weights weights = oracle::LivelyWeights(config, 1);
  const std::uint64_t one = Fingerprint(config, weights);
  EXPECT_EQ(Fingerprint(config, ToF32(weights)), one);
  ForEachTensor(weights, false, [&](WeightId id, const Tensor& original) {
    for (const std::int64_t at : {std::int64_t{0}, original.elements() / 2, original.elements() - 1}) {
      Weights changed = ToF32(weights);
      ForEachTensor(changed, false, [&](WeightId other, Tensor& tensor) {
        if (other == id) tensor.mutable_floats()[at] += 1;
      });
      EXPECT_NE(Fingerprint(config, changed), one) << Name(id) << " " << at;
    }
  });
  EXPECT_NE(Fingerprint(config, ToFloat(weights, Type::kF16)), one);
  LlamaConfig other = config;
  other.norm_epsilon *= 2;
  EXPECT_NE(Fingerprint(other, weights), one);
}

// Checkpoints hold it: a change would make those of earlier versions useless.
TEST(FingerprintTest, OfWeightsStaysWhatItWas) {
  LlamaConfig config = oracle::MinimalConfig(3, 4);
  config.attention_bias = true;
  Weights weights = RandomWeights(config, 1);
  float next = 0;
  ForEachTensor(weights, false, [&](WeightId, Tensor& tensor) {
    for (float& x : tensor.mutable_floats()) x = next++;
  });
  EXPECT_EQ(Fingerprint(config, weights), 0x294a467584331840u);
}

TEST(FingerprintTest, CoversAdapters) {
  const LlamaConfig config = oracle::SmallConfig();
  Transformer model(config, oracle::LivelyWeights(config, 1), ReferenceKernels());
  const std::uint64_t bare = Fingerprint(model);
  Adapter adapter;
  adapter.a = Tensor::Allocate(Type::kF32, {2, config.dim});
  adapter.b = Tensor::Allocate(Type::kF32, {config.q_dim(), 2});
  model.mutable_blocks()[0].q.adapter = &adapter;
  const std::uint64_t adapted = Fingerprint(model);
  EXPECT_NE(adapted, bare);
  adapter.scale *= 2;
  EXPECT_NE(Fingerprint(model), adapted);

  Transformer embedding(config, oracle::LivelyWeights(config, 1), ReferenceKernels());
  LoraAdapter of_embedding{1, 1, false, 0, "", {}};
  of_embedding.pairs.push_back({{-1, Part::kEmbedding},
                                Tensor::Allocate(Type::kF32, {1, config.dim}),
                                Tensor::Allocate(Type::kF32, {config.vocab_size, 1})});
  embedding.Adapt(of_embedding);
  EXPECT_NE(Fingerprint(embedding), bare);
}

}  // namespace
}  // namespace longspan
