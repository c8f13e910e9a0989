#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "kernels/testing/random_blocks.h"
#include "model/testing/small_model.h"

namespace longspan {
namespace {

using oracle::SmallConfig;

TEST(WeightsTest, RandomWeightsFitTheirConfiguration) {
  for (const bool tied : {false, true}) {
    LlamaConfig c = SmallConfig();
    c.tied_embeddings = c.attention_bias = tied;
    const Weights w = RandomWeights(c, 1);
    EXPECT_NO_THROW(w.Validate(c, "here"));
    std::int64_t parameters = 0;
    ForEachTensor(w, tied, [&](WeightId, const Tensor& t) { parameters += t.elements(); });
    EXPECT_EQ(parameters, c.Parameters());
  }
}

TEST(WeightsTest, RandomWeightsAreAFunctionOfTheSeed) {
  const LlamaConfig c = SmallConfig();
  const Weights a = RandomWeights(c, 1), same = RandomWeights(c, 1), other = RandomWeights(c, 2);
  EXPECT_TRUE(std::ranges::equal(a.layers[1].gate.floats(), same.layers[1].gate.floats()));
  EXPECT_FALSE(std::ranges::equal(a.layers[1].gate.floats(), other.layers[1].gate.floats()));
  EXPECT_FALSE(std::ranges::equal(a.layers[0].gate.floats(), a.layers[1].gate.floats()));
}

TEST(WeightsTest, RandomWeightsHaveTheDeviationsOfThePaper) {
  LlamaConfig c = SmallConfig();
  c.dim = 256;
  c.hidden_dim = 256;
  c.layers = 8;
  const Weights w = RandomWeights(c, 3);
  const auto deviation = [](const Tensor& t) {
    double squares = 0;
    for (const float x : t.floats()) squares += static_cast<double>(x) * static_cast<double>(x);
    return std::sqrt(squares / static_cast<double>(t.elements()));
  };
  EXPECT_NEAR(deviation(w.layers[0].up), 0.02, 0.0005);
  EXPECT_NEAR(deviation(w.layers[0].down), 0.02 / 4, 0.0002);  // sqrt(2 * 8) = 4
  for (const float x : w.layers[0].mlp_norm.floats()) EXPECT_EQ(x, 1);
}

TEST(WeightsTest, VisitsTensorsInAFixedOrder) {
  LlamaConfig c = SmallConfig();
  c.layers = 1;
  const Weights w = RandomWeights(c, 1);
  std::vector<std::string> names;
  ForEachTensor(w, false, [&](WeightId id, const Tensor&) { names.push_back(Name(id)); });
  EXPECT_THAT(names, testing::ElementsAre("embedding", "layers.0.attention_norm", "layers.0.q", "layers.0.k",
                                          "layers.0.v", "layers.0.o", "layers.0.mlp_norm", "layers.0.gate",
                                          "layers.0.up", "layers.0.down", "output_norm", "output"));
}

TEST(WeightsTest, VisitsBiasesWhereThereAreSome) {
  LlamaConfig c = SmallConfig();
  c.layers = 1;
  c.attention_bias = true;
  const Weights w = RandomWeights(c, 1);
  std::vector<std::string> names;
  ForEachTensor(w, true, [&](WeightId id, const Tensor& t) {
    if (Traits(id.part).kind != PartKind::kBias) return;
    names.push_back(Name(id));
    EXPECT_EQ(t.shape(), std::vector{id.part == Part::kQBias ? c.q_dim() : c.kv_dim()}) << Name(id);
  });
  EXPECT_THAT(names, testing::ElementsAre("layers.0.q_bias", "layers.0.k_bias", "layers.0.v_bias"));
  // A missing tensor is visited, so that it can be filled.
  Weights missing = w;
  missing.layers[0].q_bias = Tensor();
  names.clear();
  ForEachTensor(missing, true, true, [&](WeightId id, Tensor& t) {
    if (t.empty()) names.push_back(Name(id));
  });
  EXPECT_THAT(names, testing::ElementsAre("layers.0.q_bias"));
}

TEST(WeightsTest, ValidateNamesTheTensorAtFault) {
  const LlamaConfig c = SmallConfig();
  const auto message = [&](const Weights& w) -> std::string {
    try {
      w.Validate(c, "a/model.gguf");
    } catch (const Error& e) {
      return e.what();
    }
    return "accepted";
  };
  Weights w = RandomWeights(c, 1);
  w.layers[1].k = Tensor();
  EXPECT_THAT(message(w),
              testing::AllOf(testing::StartsWith("a/model.gguf"), testing::HasSubstr("layers.1.k")));
  w = RandomWeights(c, 1);
  w.layers[0].down = w.layers[0].up;
  EXPECT_THAT(message(w), testing::HasSubstr("layers.0.down"));
  w = RandomWeights(c, 1);
  w.layers.pop_back();
  EXPECT_THAT(message(w), testing::HasSubstr("1 layers, expected 2"));
  w = RandomWeights(c, 1);
  w.output_norm = Tensor::Allocate(Type::kF32, {c.dim + 1});
  EXPECT_THAT(message(w), testing::HasSubstr("output_norm"));
  w = RandomWeights(c, 1);
  w.output = Tensor::Allocate(Type::kI32, {c.vocab_size, c.dim});
  EXPECT_THAT(message(w), testing::HasSubstr("I32"));
  w = RandomWeights(c, 1);
  w.layers[1].v_bias = Tensor::Allocate(Type::kF32, {c.kv_dim()});
  EXPECT_THAT(message(w), testing::HasSubstr("a bias in layer 1 of a model without biases"));
  w = RandomWeights(c, 1);
  w.rope_factors = Tensor::Allocate(Type::kF32, {c.head_dim});
  EXPECT_THAT(message(w), testing::HasSubstr("rope_factors"));
}

TEST(WeightsTest, FloatsInHugePagesAreTheSameElsewhere) {
  for (const bool tied : {false, true}) {
    LlamaConfig c = SmallConfig();
    c.vocab_size = 70'000;  // more than a piece of what threads copy
    c.tied_embeddings = c.attention_bias = tied;
    const Weights weights = RandomWeights(c, 1), copy = InHugePages(weights, ReferenceKernels());
    EXPECT_NO_THROW(copy.Validate(c, "here"));
    std::vector<const Tensor*> tensors;
    ForEachTensor(weights, tied, [&](WeightId, const Tensor& t) { tensors.push_back(&t); });
    auto tensor = tensors.begin();
    ForEachTensor(copy, tied, [&](WeightId id, const Tensor& t) {
      EXPECT_TRUE(std::ranges::equal(t.bytes(), (*tensor)->bytes())) << Name(id);
      const bool stays = id.part == Part::kEmbedding && !tied;
      EXPECT_EQ(t.bytes().data() == (*tensor)->bytes().data(), stays) << Name(id);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.bytes().data()) % 64, 0u) << Name(id);
      ++tensor;
    });
    EXPECT_EQ(copy.output.bytes().data() == copy.embedding.bytes().data(), tied);
  }
}

// What decoding multiplies is packed; the file's bytes stay where they are, for all else.
TEST(WeightsTest, QuantisedWeightsInHugePagesArePacked) {
  const Kernels& kernels = ChooseKernels("auto", Activations::kInt8);
  LlamaConfig c = SmallConfig();
  c.tied_embeddings = true;
  Weights weights = RandomWeights(c, 1);
  const Tensor q = weights.layers[0].q = RandomBlocks(Type::kQ8_0, weights.layers[0].q.rows(), 32, 1);
  weights.embedding = weights.output = RandomBlocks(Type::kQ4_0, c.vocab_size, 32, 2);
  if (kernels.PackedBytes(q) == 0) GTEST_SKIP() << "this machine has no 8-bit products";
  const Weights copy = InHugePages(weights, kernels);
  EXPECT_EQ(copy.layers[0].q.bytes().data(), q.bytes().data());
  EXPECT_GT(copy.layers[0].q.packing().lanes, 0);
  EXPECT_GT(copy.output.packing().lanes, 0);
  EXPECT_EQ(copy.embedding.bytes().data(), weights.embedding.bytes().data());
  EXPECT_EQ(copy.layers[0].k.packing().lanes, 0);  // floats
}

TEST(WeightsTest, NoSixteenBitTypeTakesWhatItCannotHold) {
  Weights weights = RandomWeights(oracle::SmallConfig(), 1);
  for (const float bad : {NAN, INFINITY, -70000.0f}) {
    weights.layers[1].up = weights.layers[1].up.ToF32();
    weights.layers[1].up.mutable_floats()[5] = bad;
    try {
      ToFloat(weights, Type::kF16);
      FAIL() << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("layers.1.up: 1 of ")) << bad;
    }
    if (std::isfinite(bad)) {
      EXPECT_NO_THROW(ToFloat(weights, Type::kBF16));
    }
    EXPECT_NO_THROW(ToF32(weights));
  }
}

TEST(WeightsTest, ToF32CopiesAndKeepsTying) {
  LlamaConfig c = SmallConfig();
  for (const bool tied : {false, true}) {
    c.tied_embeddings = tied;
    const Weights halves = oracle::InType(oracle::LivelyWeights(c, 1), tied, Type::kBF16), w = ToF32(halves);
    EXPECT_EQ(w.output.bytes().data() == w.embedding.bytes().data(), tied);
    EXPECT_NE(w.embedding.bytes().data(), halves.embedding.bytes().data());
    EXPECT_EQ(w.layers[1].q.type(), Type::kF32);
    const Tensor want = halves.layers[1].q.ToF32();
    EXPECT_TRUE(std::ranges::equal(w.layers[1].q.floats(), want.floats()));
    EXPECT_NO_THROW(w.Validate(c, "here"));
  }
}

}  // namespace
}  // namespace longspan
