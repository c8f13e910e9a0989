#include "formats/rope_override.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/testing/expect_error.h"
#include "formats/llama3_rope.h"
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

// The configuration of a GGUF file, which has the divisors but not the scaling that they came from.
LlamaConfig AsInGguf(LlamaConfig config) {
  config.rope_scaling = {};
  return config;
}

// Llama 3.2's own, except for the width.
LlamaConfig Llama32() {
  LlamaConfig c = Config();
  c.head_dim = 64;
  c.context = 131072;
  c.rope_theta = 500000;
  c.rope_scaling.kind = Kind::kLlama3;
  c.rope_scaling.factor = 32;
  c.rope_scaling.original_context = 8192;
  return c;
}

void ExpectFactorsOf(const LlamaConfig& wanted, const Applied& got) {
  EXPECT_EQ(got.config.rope_scaling, wanted.rope_scaling);
  const Tensor factors = Llama3RopeFactors(wanted);
  EXPECT_THAT(got.weights.rope_factors.floats(), ::testing::ElementsAreArray(factors.floats()));
}

TEST(RopeOverride, Llama3FactorsFollowANewTheta) {
  LlamaConfig wanted = Llama32();
  const Tensor factors = Llama3RopeFactors(wanted);
  wanted.rope_theta = 2e6;
  const Applied got = With(Theta(2e6), AsInGguf(Llama32()), factors);
  EXPECT_EQ(got.config.rope_theta, 2e6);
  ExpectFactorsOf(wanted, got);
  ExpectFactorsOf(wanted, With(Theta(2e6), Llama32(), factors));
  const Applied same = With(Theta(5e5), AsInGguf(Llama32()), factors);
  EXPECT_EQ(same.weights.rope_factors.bytes().data(), factors.bytes().data());
}

TEST(RopeOverride, Llama3SettingsOfAGgufFileStayWhereTheyAreNotAskedFor) {
  LlamaConfig wanted = Llama32();
  const Tensor factors = Llama3RopeFactors(wanted);
  wanted.rope_scaling.factor = 64;
  ExpectFactorsOf(wanted, With(Asked({}, 64), AsInGguf(Llama32()), factors));
  ExpectFactorsOf(wanted, With(Asked(Kind::kLlama3, 64), AsInGguf(Llama32()), factors));
}

TEST(RopeOverride, DivisorsOfAnUnknownKindFollowNothing) {
  Tensor factors = Tensor::Allocate(Type::kF32, {8});
  for (float& f : factors.mutable_floats()) f = 1.0f;
  factors.mutable_floats()[2] = 3.0f;
  for (const RopeOverride& rope : {Theta(5e5), Asked({}, 8)}) {
    EXPECT_THAT(ErrorOf([&] { With(rope, Config(), factors); }), ::testing::HasSubstr("rope_freqs"));
  }
  EXPECT_TRUE(With(Asked(Kind::kNone), Config(), factors).weights.rope_factors.empty());
  EXPECT_EQ(With(Asked(Kind::kYarn, 8), Config(), factors).config.rope_scaling.factor, 8);
}

TEST(RopeOverride, YarnsAttentionFactorFollowsTheFactor) {
  LlamaConfig config = Config();
  config.rope_scaling.kind = Kind::kYarn;
  config.rope_scaling.factor = 4;
  config.rope_scaling.original_context = 128;
  config.rope_scaling.attention_factor = 1.3;
  config.rope_scaling.beta_fast = 20;
  const auto magnitude = [](const Applied& got) { return MakeRopeFrequencies(got.config).magnitude; };
  EXPECT_DOUBLE_EQ(magnitude(With(Asked({}, 16), config)), 0.1 * std::log(16.0) + 1);
  EXPECT_DOUBLE_EQ(magnitude(With(Asked({}, 4), config)), 1.3);
  EXPECT_DOUBLE_EQ(magnitude(With(Asked({}, 0, 64), config)), 1.3);
  EXPECT_DOUBLE_EQ(magnitude(With(Theta(5e5), config)), 1.3);
  EXPECT_EQ(With(Asked({}, 16), config).config.rope_scaling.beta_fast, 20);
  // Another kind does not keep what only YaRN has.
  EXPECT_EQ(With(Asked(Kind::kLinear), config).config.rope_scaling.beta_fast, RopeScaling().beta_fast);
}

TEST(RopeOverride, ANewScalingStartsFromTheModelsWindow) {
  for (const Kind kind : {Kind::kLinear, Kind::kNtk, Kind::kYarn, Kind::kLlama3}) {
    const Applied got = With(Asked(kind, 8));
    EXPECT_EQ(got.config.rope_scaling.kind, kind);
    EXPECT_EQ(got.config.rope_scaling.factor, 8);
    EXPECT_EQ(got.config.rope_scaling.original_context, 512);
    EXPECT_EQ(got.weights.rope_factors.empty(), kind != Kind::kLlama3);
    EXPECT_EQ(With(Asked(kind, 8, 64)).config.rope_scaling.original_context, 64);
    EXPECT_THROW(With(Asked(kind)), Error);  // without a factor
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
