#include "formats/rope_override.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "formats/llama_gguf.h"
#include "model/rope_scaling.h"
#include "model/testing/small_config.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;

LlamaConfig Config() {
  LlamaConfig c = oracle::MinimalConfig(8, 16);
  c.context = 512;
  return c;
}

// A file that was scaled already.
LlamaConfig Llama3Config() {
  LlamaConfig c = Config();
  c.rope_scaling.kind = Kind::kLlama3;
  c.rope_scaling.factor = 4;
  c.rope_scaling.original_context = 128;
  return c;
}

RopeOverride Theta(double theta) {
  RopeOverride rope;
  rope.theta = theta;
  return rope;
}

RopeOverride Asked(std::optional<Kind> scaling, double factor = 0, std::int64_t original_context = 0) {
  RopeOverride rope;
  rope.scaling = scaling;
  rope.factor = factor;
  rope.original_context = original_context;
  return rope;
}

struct Applied {
  LlamaConfig config;
  Weights weights;
};

Applied With(const RopeOverride& rope, LlamaConfig config = Config(), Tensor factors = {}) {
  Applied result{std::move(config), {}};
  result.weights.rope_factors = std::move(factors);
  Apply(rope, result.config, result.weights);
  return result;
}

TEST(RopeOverride, NothingAskedChangesNothing) {
  const Tensor factors = Llama3RopeFactors(Llama3Config());
  const Applied got = With({}, Llama3Config(), factors);
  EXPECT_EQ(got.config.rope_scaling, Llama3Config().rope_scaling);
  EXPECT_EQ(got.config.rope_theta, 10000);
  EXPECT_EQ(got.weights.rope_factors.bytes().data(), factors.bytes().data());
}

TEST(RopeOverride, ThetaAloneLeavesTheScaling) {
  const Applied got = With(Theta(5e5), Llama3Config());
  EXPECT_EQ(got.config.rope_theta, 5e5);
  EXPECT_EQ(got.config.rope_scaling, Llama3Config().rope_scaling);
}

TEST(RopeOverride, ANewScalingStartsFromTheModelsWindow) {
  for (const Kind kind : {Kind::kLinear, Kind::kNtk, Kind::kYarn, Kind::kLlama3}) {
    const Applied got = With(Asked(kind, 8));
    EXPECT_EQ(got.config.rope_scaling.kind, kind);
    EXPECT_EQ(got.config.rope_scaling.factor, 8);
    EXPECT_EQ(got.config.rope_scaling.original_context, 512);
    EXPECT_EQ(got.weights.rope_factors.empty(), kind != Kind::kLlama3);
    EXPECT_EQ(With(Asked(kind, 8, 64)).config.rope_scaling.original_context, 64);
    EXPECT_THROW(With(Asked(kind)), Error);  // by how much?
  }
}

TEST(RopeOverride, NoneTakesAwayTheFilesOwnScalingAndFactors) {
  const Applied got = With(Asked(Kind::kNone), Llama3Config(), Llama3RopeFactors(Llama3Config()));
  EXPECT_TRUE(got.weights.rope_factors.empty());
  const RopeFrequencies plain = MakeRopeFrequencies(Config());
  EXPECT_EQ(MakeRopeFrequencies(got.config).inverse, plain.inverse);
  EXPECT_EQ(MakeRopeFrequencies(got.config).magnitude, 1);
}

TEST(RopeOverride, AnotherScalingTakesTheFilesFactorsAway) {
  const Applied got = With(Asked(Kind::kLinear), Llama3Config(), Llama3RopeFactors(Llama3Config()));
  EXPECT_TRUE(got.weights.rope_factors.empty());
  EXPECT_EQ(got.config.rope_scaling.factor, 4);  // the file's
  EXPECT_DOUBLE_EQ(MakeRopeFrequencies(got.config).inverse[0], 0.25);
}

TEST(RopeOverride, Llama3FactorsFollowTheNewFactor) {
  const Applied got = With(Asked(Kind::kLlama3, 16), Llama3Config(), Llama3RopeFactors(Llama3Config()));
  const auto factors = got.weights.rope_factors.floats();
  ASSERT_EQ(factors.size(), 8u);
  EXPECT_EQ(factors.front(), 1);        // short wavelengths stay
  EXPECT_FLOAT_EQ(factors.back(), 16);  // long ones stretch in full
}

TEST(RopeOverride, Llama3FactorsFollowAFactorGivenAlone) {
  const Applied got = With(Asked({}, 16), Llama3Config(), Llama3RopeFactors(Llama3Config()));
  EXPECT_FLOAT_EQ(got.weights.rope_factors.floats().back(), 16);
}

TEST(RopeOverride, AFactorWithoutAScalingIsRefused) {
  EXPECT_THROW(With(Asked({}, 8)), Error);
  EXPECT_THROW(With(Asked({}, 0, 64)), Error);
  EXPECT_THROW(With(Asked(Kind::kNone, 8)), Error);
}

}  // namespace
}  // namespace longspan
