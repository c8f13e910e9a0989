#include "eval/sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"
#include "eval/calibration.h"
#include "eval/likelihood.h"
#include "kernels/kernels.h"
#include "model/testing/small_model.h"
#include "quantize/quantize.h"

namespace longspan {
namespace {

LlamaConfig Config(bool tied) {
  LlamaConfig c = oracle::SmallConfig();
  c.dim = 64;
  c.head_dim = 16;
  c.hidden_dim = 96;
  c.tied_embeddings = tied;
  return c;
}

Weights TestWeights(const LlamaConfig& config) {
  Weights weights = oracle::LivelyWeights(config, 5);
  if (config.tied_embeddings) weights.output = weights.embedding;
  return weights;
}

std::vector<TokenDocument> SomeChunks() {
  const std::vector<TokenDocument> documents{oracle::RandomTokens(64, 61)};
  return CalibrationChunks(documents, 1, 32);
}

Matrix LogitsOf(const Transformer& model, const TokenDocument& chunk) {
  KvCache cache(model.config());
  Matrix hidden(std::ssize(chunk), model.config().dim), logits(std::ssize(chunk), model.config().vocab_size);
  model.Forward(chunk, cache, hidden);
  model.Logits(hidden, logits);
  return logits;
}

// The mean divergence of one model from another, the plain way.
double MeanDivergence(const Transformer& reference, const Transformer& model) {
  double sum = 0;
  int tokens = 0;
  for (const TokenDocument& chunk : SomeChunks()) {
    const Matrix p = LogitsOf(reference, chunk), q = LogitsOf(model, chunk);
    for (std::int64_t i = 0; i < p.rows(); ++i, ++tokens) sum += KlDivergence(p[i], q[i]);
  }
  return sum / tokens;
}

// The model with one weight quantised.
Weights WithOne(Weights weights, bool tied, WeightId changed, Type type) {
  ForEachTensor(weights, tied, [&](WeightId id, Tensor& tensor) {
    if (id != changed) return;
    Tensor encoded = Tensor::Allocate(type, tensor.shape());
    (void)Reencode(tensor.type(), tensor.bytes(), type, encoded.mutable_bytes(), tensor.rows(),
                   tensor.cols());
    tensor = encoded;
  });
  if (tied) weights.output = weights.embedding;
  return weights;
}

TEST(MeasureSensitivity, IsTheDivergenceOfAModelWithOneWeightQuantised) {
  for (const bool tied : {false, true}) {
    const LlamaConfig config = Config(tied);
    const Weights weights = TestWeights(config);
    const Transformer model(config, weights, ChooseKernels("reference"));
    // Not in the order of the layers.
    std::vector<SensitivityRequest> requests;
    for (const WeightId id : {WeightId{1, Part::kDown}, WeightId{-1, Part::kEmbedding}, WeightId{0, Part::kV},
                              WeightId{1, Part::kQ}, WeightId{0, Part::kGate}, WeightId{1, Part::kO}}) {
      requests.push_back({id, {Type::kQ4_0, Type::kQ8_0}, {Type::kQ4_0, Type::kQ8_0}});
    }
    if (!tied) requests.push_back({{-1, Part::kOutput}, {Type::kQ4_0}, {Type::kQ4_0}});
    const auto results = MeasureSensitivity(model, SomeChunks(), requests, nullptr);
    ASSERT_EQ(results.size(), requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(results[i].weight, requests[i].weight);
      for (const TypeHarm& harm : results[i].harms) {
        const Transformer changed(config, WithOne(weights, tied, requests[i].weight, harm.type),
                                  ChooseKernels("reference"));
        const double expected = MeanDivergence(model, changed);
        EXPECT_TRUE(harm.measured);
        EXPECT_GT(expected, 0);
        EXPECT_NEAR(harm.divergence, expected, 1e-3 * expected + 1e-8) << Name(results[i].weight);
      }
    }
  }
}

TEST(MeasureSensitivity, EstimatesWhatItDoesNotMeasure) {
  const LlamaConfig config = Config(false);
  const Transformer model(config, TestWeights(config), ChooseKernels("auto"));
  const std::vector<Type> types{Type::kQ4_0, Type::kQ5_0, Type::kQ8_0, Type::kF32};
  for (const WeightId id : {WeightId{0, Part::kV}, WeightId{1, Part::kUp}}) {
    const std::vector<SensitivityRequest> requests{{id, types, {Type::kQ4_0}}, {id, types, types}};
    const auto results = MeasureSensitivity(model, SomeChunks(), requests, nullptr);
    for (std::size_t t = 1; t < 3; ++t) {
      const TypeHarm &estimated = results[0].harms[t], &measured = results[1].harms[t];
      EXPECT_FALSE(estimated.measured);
      EXPECT_EQ(estimated.relative_error, measured.relative_error);
      EXPECT_NEAR(std::log(estimated.divergence / measured.divergence), 0, std::log(2.0)) << Name(id);
    }
    EXPECT_EQ(results[0].harms[3].divergence, 0);  // F32 loses nothing
  }
}

TEST(MeasureSensitivity, DoesNotDependOnThreads) {
  const LlamaConfig config = Config(true);
  const Transformer model(config, TestWeights(config), ChooseKernels("auto"));
  const std::vector<SensitivityRequest> requests{{{0, Part::kK}, {Type::kQ4_0, Type::kQ5_1}, {Type::kQ4_0}}};
  const int threads = Threads();
  SetThreads(1);
  const auto one = MeasureSensitivity(model, SomeChunks(), requests, nullptr);
  SetThreads(3);
  const auto three = MeasureSensitivity(model, SomeChunks(), requests, nullptr);
  SetThreads(threads);
  for (std::size_t t = 0; t < 2; ++t) {
    EXPECT_EQ(one[0].harms[t].divergence, three[0].harms[t].divergence);
    EXPECT_EQ(one[0].harms[t].relative_error, three[0].harms[t].relative_error);
  }
}

TEST(MeasureSensitivity, RefusesWhatIsNoMatrixOfTheModel) {
  const LlamaConfig config = Config(true);
  const Transformer model(config, TestWeights(config), ChooseKernels("reference"));
  for (const WeightId id : {WeightId{-1, Part::kOutputNorm}, WeightId{0, Part::kMlpNorm},
                            WeightId{config.layers, Part::kQ}, WeightId{-1, Part::kQ}}) {
    const std::vector<SensitivityRequest> requests{{id, {Type::kQ4_0}, {Type::kQ4_0}}};
    EXPECT_THROW(MeasureSensitivity(model, SomeChunks(), requests, nullptr), Error) << Name(id);
  }
}

TEST(MeasureSensitivity, CanBeCancelled) {
  const LlamaConfig config = Config(true);
  const Transformer model(config, TestWeights(config), ChooseKernels("auto"));
  const std::vector<SensitivityRequest> requests{{{0, Part::kK}, {Type::kQ4_0}, {Type::kQ4_0}}};
  RequestCancel();
  EXPECT_THROW(MeasureSensitivity(model, SomeChunks(), requests, nullptr), Error);
  ClearCancel();
}

TEST(EstimateDivergence, GoesThroughWhatWasMeasured) {
  const auto harm = [](double error, double divergence) {
    return TypeHarm{Type::kQ4_0, error, divergence, true};
  };
  const std::vector<TypeHarm> one{harm(0.1, 0.02)};
  EXPECT_DOUBLE_EQ(EstimateDivergence(one, 0.1), 0.02);
  EXPECT_NEAR(EstimateDivergence(one, 0.05), 0.005, 1e-12);  // quadratic
  EXPECT_EQ(EstimateDivergence(one, 0), 0);
  const std::vector<TypeHarm> two{harm(0.2, 0.16), harm(0.1, 0.02)};  // cubic
  EXPECT_DOUBLE_EQ(EstimateDivergence(two, 0.2), 0.16);
  EXPECT_DOUBLE_EQ(EstimateDivergence(two, 0.1), 0.02);
  EXPECT_NEAR(EstimateDivergence(two, 0.05), 0.0025, 1e-12);
  EXPECT_NEAR(EstimateDivergence(two, 0.4), 1.28, 1e-12);
  // Two measurements whose order noise has reversed say nothing.
  const std::vector<TypeHarm> odd{harm(0.2, 0.01), harm(0.1, 0.02)};
  EXPECT_LT(EstimateDivergence(odd, 0.05), 0.02);
}

}  // namespace
}  // namespace longspan
