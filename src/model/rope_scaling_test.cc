// Frequencies against the papers' formulae, written out here by hand for a few dimensions.
#include "model/rope_scaling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "nn/rope.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;
using std::numbers::pi;

LlamaConfig Config(Kind kind, double factor) {
  LlamaConfig c;
  c.head_dim = 128;
  c.rope_theta = 500000;
  c.rope_scaling.kind = kind;
  c.rope_scaling.factor = factor;
  c.rope_scaling.original_context = 8192;
  return c;
}

// Relative, because the frequencies span six decades.
void ExpectInverse(const RopeFrequencies& f, std::size_t pair, double want) {
  EXPECT_NEAR(f.inverse[pair] / want, 1, 1e-12) << "pair " << pair;
}

TEST(RopeScalingTest, None) {
  const RopeFrequencies f = MakeRopeFrequencies(Config(Kind::kNone, 8));
  ASSERT_EQ(f.inverse.size(), 64);
  EXPECT_EQ(f.magnitude, 1);
  ExpectInverse(f, 0, 1);
  ExpectInverse(f, 1, std::pow(500000.0, -2.0 / 128));
  ExpectInverse(f, 32, 1 / std::sqrt(500000.0));
  ExpectInverse(f, 63, std::pow(500000.0, -126.0 / 128));
}

TEST(RopeScalingTest, Linear) {
  const RopeFrequencies f = MakeRopeFrequencies(Config(Kind::kLinear, 8));
  EXPECT_EQ(f.magnitude, 1);
  ExpectInverse(f, 0, 1.0 / 8);
  ExpectInverse(f, 32, 1 / std::sqrt(500000.0) / 8);
}

TEST(RopeScalingTest, NtkRaisesTheBase) {
  const RopeFrequencies f = MakeRopeFrequencies(Config(Kind::kNtk, 8));
  const double base = 500000.0 * std::pow(8.0, 128.0 / 126);
  EXPECT_EQ(f.magnitude, 1);
  ExpectInverse(f, 0, 1);
  ExpectInverse(f, 32, 1 / std::sqrt(base));
  // The exponent is such that the slowest pair is interpolated by exactly the factor.
  ExpectInverse(f, 63, std::pow(500000.0, -126.0 / 128) / 8);
}

TEST(RopeScalingTest, Yarn) {
  const RopeFrequencies f = MakeRopeFrequencies(Config(Kind::kYarn, 8));
  // c(n) = 128 ln(8192 / (2 pi n)) / (2 ln 500000): c(32) = 18.08, c(1) = 34.98. The ramp runs from 18 to 35.
  EXPECT_EQ(std::floor(128 * std::log(8192 / (2 * pi * 32)) / (2 * std::log(500000.0))), 18);
  EXPECT_EQ(std::ceil(128 * std::log(8192 / (2 * pi)) / (2 * std::log(500000.0))), 35);
  const auto original = [](double j) { return std::pow(500000.0, -2 * j / 128); };
  ExpectInverse(f, 0, 1);
  ExpectInverse(f, 18, original(18));
  ExpectInverse(f, 26, original(26) * (9.0 / 17 + 8.0 / 17 / 8));  // 8 of 17 steps down the ramp
  ExpectInverse(f, 35, original(35) / 8);
  ExpectInverse(f, 63, original(63) / 8);
  EXPECT_DOUBLE_EQ(f.magnitude, 0.1 * std::log(8.0) + 1);

  LlamaConfig c = Config(Kind::kYarn, 8);
  c.rope_scaling.attention_factor = 0.75;
  EXPECT_DOUBLE_EQ(MakeRopeFrequencies(c).magnitude, 0.75);
  c = Config(Kind::kYarn, 1);
  const RopeFrequencies unscaled = MakeRopeFrequencies(c);
  EXPECT_DOUBLE_EQ(unscaled.magnitude, 1);
  ExpectInverse(unscaled, 40, original(40));
}

TEST(RopeScalingTest, YarnOfASmallModel) {
  LlamaConfig c = Config(Kind::kYarn, 8);
  c.head_dim = 8;
  c.rope_theta = 10000;
  c.rope_scaling.original_context = 512;
  const RopeFrequencies f = MakeRopeFrequencies(c);
  // c(32) = 8 ln(512 / (64 pi)) / (2 ln 10000) = 0.41 -> 0; c(1) = 1.91 -> 2.
  ExpectInverse(f, 0, 1);
  ExpectInverse(f, 1, 0.1 * (0.5 + 0.5 / 8));
  ExpectInverse(f, 2, 0.01 / 8);
  ExpectInverse(f, 3, 0.001 / 8);
}

TEST(RopeScalingTest, Llama3) {
  const RopeFrequencies f = MakeRopeFrequencies(Config(Kind::kLlama3, 8));
  const auto original = [](double j) { return std::pow(500000.0, -2 * j / 128); };
  EXPECT_EQ(f.magnitude, 1);
  ExpectInverse(f, 0, 1);
  ExpectInverse(f, 28, original(28));      // wavelength 1,956, below 8192 / 4
  ExpectInverse(f, 35, original(35) / 8);  // wavelength 8,216, above 8192 / 1
  // Between them: smooth = (8192 / wavelength - 1) / (4 - 1), frequency = (1 - smooth) f / 8 + smooth f.
  for (const std::size_t pair : {30u, 34u}) {
    const double frequency = original(static_cast<double>(pair)), wavelength = 2 * pi / frequency;
    EXPECT_TRUE(wavelength > 2048 && wavelength < 8192);
    const double smooth = (8192 / wavelength - 1) / 3;
    ExpectInverse(f, pair, (1 - smooth) * frequency / 8 + smooth * frequency);
  }
}

TEST(RopeScalingTest, FactorsOfAFileDivide) {
  const std::vector<float> factors(64, 4.0f);
  ExpectInverse(MakeRopeFrequencies(Config(Kind::kNone, 1), factors), 32, 1 / std::sqrt(500000.0) / 4);
  // These factors already express llama3 scaling, which must not be applied twice.
  EXPECT_EQ(MakeRopeFrequencies(Config(Kind::kLlama3, 8), factors).inverse,
            MakeRopeFrequencies(Config(Kind::kLlama3, 8)).inverse);
}

TEST(RopeScalingTest, NeedsTheOriginalWindow) {
  for (const Kind kind : {Kind::kYarn, Kind::kLlama3}) {
    LlamaConfig c = Config(kind, 8);
    c.rope_scaling.original_context = 0;
    try {
      MakeRopeFrequencies(c);
      ADD_FAILURE() << Name(kind) << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalidFile);
    }
  }
}

// The last position of a 64k window, for every kind: the angle in extended precision, reduced to one turn.
TEST(RopeScalingTest, AnglesAtTheEndOfA64kWindow) {
  const std::vector<std::int32_t> positions{65535};
  for (const Kind kind : {Kind::kNone, Kind::kLinear, Kind::kNtk, Kind::kYarn, Kind::kLlama3}) {
    const RopeFrequencies f = MakeRopeFrequencies(Config(kind, 8));
    const RopeTable table(positions, f.inverse, f.magnitude);
    for (std::size_t j = 0; j < f.inverse.size(); ++j) {
      const long double angle =
          std::fmod(65535.0L * static_cast<long double>(f.inverse[j]), 2 * std::numbers::pi_v<long double>);
      EXPECT_NEAR(table.cos()[0][j], f.magnitude * static_cast<double>(std::cos(angle)), 2e-7)
          << Name(kind) << " pair " << j;
      EXPECT_NEAR(table.sin()[0][j], f.magnitude * static_cast<double>(std::sin(angle)), 2e-7)
          << Name(kind) << " pair " << j;
    }
  }
  // 65,535 radians are 10,430 turns and 1.377 radians.
  const RopeFrequencies plain = MakeRopeFrequencies(Config(Kind::kNone, 1));
  const RopeTable table(positions, plain.inverse, 1);
  EXPECT_NEAR(table.cos()[0][0], std::cos(65535.0 - 10430 * 2 * pi), 1e-7);
}

}  // namespace
}  // namespace longspan
