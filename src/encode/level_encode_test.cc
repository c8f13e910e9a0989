// Encoders of the types whose codes are levels or signs: IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "encode/encode.h"
#include "tensor/blocks.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

constexpr Type kTypes[] = {Type::kIQ4_NL, Type::kIQ4_XS, Type::kMXFP4, Type::kTQ1_0, Type::kTQ2_0};
constexpr Type kScaledTypes[] = {Type::kIQ4_NL, Type::kIQ4_XS, Type::kTQ1_0, Type::kTQ2_0};

std::vector<std::byte> EncodeAll(Type type, const std::vector<float>& x, const float* importance = nullptr) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(RowBytes(type, std::ssize(x))));
  EncodeRow(type, x.data(), bytes.data(), std::ssize(x), importance);
  return bytes;
}

std::vector<float> RoundTrip(Type type, const std::vector<float>& x, const float* importance = nullptr) {
  std::vector<float> y(x.size());
  DecodeRow(type, EncodeAll(type, x, importance).data(), y.data(), std::ssize(y));
  return y;
}

std::vector<float> Gaussian(std::size_t n, float scale = 1, std::uint64_t stream = 0) {
  Random random(5, stream, RandomPurpose::kTest);
  std::vector<float> x(n);
  for (float& value : x) value = scale * random.Normal();
  return x;
}

double SquareError(const std::vector<float>& x, const std::vector<float>& y,
                   const std::vector<float>& weights = {}) {
  double error = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    error += (weights.empty() ? 1.0 : weights[i]) * std::pow(double{x[i]} - y[i], 2);
  return error;
}

double RelativeError(const std::vector<float>& x, const std::vector<float>& y) {
  return std::sqrt(SquareError(x, y) / SquareError(x, std::vector<float>(x.size())));
}

class LevelTypes : public testing::TestWithParam<Type> {};
INSTANTIATE_TEST_SUITE_P(Types, LevelTypes, testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

// The bounds are the errors that are reached, rounded up, so that a worse search shows. ggml's encoders reach
// 0.0761, 0.0767, 0.114 and 0.806 on such rows.
TEST_P(LevelTypes, GaussianErrorIsSmallAtEveryMagnitude) {
  const std::pair<Type, double> bounds[] = {{Type::kIQ4_NL, 0.0733},
                                            {Type::kIQ4_XS, 0.0738},
                                            {Type::kMXFP4, 0.1130},
                                            {Type::kTQ1_0, 0.436},
                                            {Type::kTQ2_0, 0.436}};
  const double bound = std::ranges::find(bounds, GetParam(), &std::pair<Type, double>::first)->second;
  for (const float scale : {1.0f, 0.02f, 100.0f}) {
    const std::vector<float> x = Gaussian(64 * 1024, scale);
    const double error = RelativeError(x, RoundTrip(GetParam(), x));
    EXPECT_LT(error, bound) << scale;
    // MXFP4's error depends on where a deviation lies between two powers of two.
    EXPECT_GT(error, (GetParam() == Type::kMXFP4 ? 0.96 : 0.98) * bound)
        << "better than its bound; lower the bound";
  }
}

TEST_P(LevelTypes, ZerosStayZeros) {
  EXPECT_THAT(RoundTrip(GetParam(), std::vector<float>(512)), testing::Each(0.0f));
}

TEST_P(LevelTypes, PowersOfTwoSurviveAsConstants) {
  for (const float value : {1.0f, -1.0f, 0.25f, -8.0f}) {
    const std::vector<float> x(256, value);
    EXPECT_LT(RelativeError(x, RoundTrip(GetParam(), x)), 0.0005) << value;
  }
}

TEST(LevelEncode, AConstantsScaleIsFitted) {
  for (const Type type : kScaledTypes) {
    for (const float value : {0.3f, -7.7f, 1e-3f, -2e-3f}) {
      const std::vector<float> x(256, value);
      // An F16 below 2^-14 is coarse.
      EXPECT_LT(RelativeError(x, RoundTrip(type, x)), 0.008) << Traits(type).name << " of " << value;
    }
  }
}

TEST_P(LevelTypes, AnOutlierSurvivesAndNothingOverflows) {
  std::vector<float> x = Gaussian(256);
  x[77] = 3e4f;
  // MXFP4's levels lie a third apart.
  EXPECT_NEAR(RoundTrip(GetParam(), x)[77], 3e4f, 3e4f * (GetParam() == Type::kMXFP4 ? 0.2f : 0.004f));
  for (const float huge : {-3e38f, 3.4e38f}) {
    x[77] = huge;
    const std::vector<float> y = RoundTrip(GetParam(), x);
    for (const float value : y) ASSERT_TRUE(std::isfinite(value)) << huge;
    EXPECT_GT(y[77] / huge, 0) << huge;
  }
  // All values are huge: beyond any F16 scale, but not beyond MXFP4's powers of two.
  for (float& value : x) value *= 1e37f;
  x[77] = 0;
  for (const float value : RoundTrip(GetParam(), x)) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(LevelTypes, TinyValuesVanishOrStaySmall) {
  for (const float scale : {1e-6f, 1e-20f, 1e-42f}) {
    for (const float y : RoundTrip(GetParam(), Gaussian(256, scale)))
      EXPECT_LE(std::abs(y), 6 * scale + 6e-8f);
  }
}

TEST_P(LevelTypes, EncodingAgainHardlyChanges) {
  const std::vector<float> once = RoundTrip(GetParam(), Gaussian(8192));
  EXPECT_LT(RelativeError(once, RoundTrip(GetParam(), once)), 0.002);
}

// Importances as activations have them: some columns matter a hundred times as much as others.
TEST_P(LevelTypes, ImportanceLowersTheWeightedError) {
  const std::vector<float> x = Gaussian(64 * 256);
  std::vector<float> importance = Gaussian(x.size(), 1, 1);
  for (float& value : importance) value = std::exp(1.2f * value);
  const double plain = SquareError(x, RoundTrip(GetParam(), x), importance);
  const double weighted = SquareError(x, RoundTrip(GetParam(), x, importance.data()), importance);
  // If only one scale, or one power of two, can be chosen, there is less to gain.
  const bool many_levels = GetParam() == Type::kIQ4_NL || GetParam() == Type::kIQ4_XS;
  EXPECT_LT(weighted, (many_levels ? 0.85 : 0.995) * plain);
  // Only the ratios of importances count, even near the ends of the range of floats.
  for (const float factor : {0x1p100f, 0x1p-100f}) {
    std::vector<float> scaled = importance;
    for (float& value : scaled) value *= factor;
    EXPECT_EQ(EncodeAll(GetParam(), x, scaled.data()), EncodeAll(GetParam(), x, importance.data())) << factor;
  }
}

// A value without importance must not cost the others their precision.
TEST(LevelEncode, AnOutlierOfNoImportanceIsCutOff) {
  for (const Type type : kTypes) {
    std::vector<float> x = Gaussian(256), importance(256, 1.0f);
    for (std::size_t i = 5; i < 256; i += 32) {
      x[i] = 40;
      importance[i] = 0;
    }
    const double bound = type == Type::kMXFP4                           ? 0.145
                         : type == Type::kTQ1_0 || type == Type::kTQ2_0 ? 0.46
                                                                        : 0.09;
    std::vector<float> y = RoundTrip(type, x, importance.data());
    for (std::size_t i = 5; i < 256; i += 32) x[i] = y[i] = 0;
    EXPECT_LT(RelativeError(x, y), bound) << Traits(type).name;
  }
}

// ---- Values that a block can hold exactly stay exact.

template <std::size_t kLevels, class Rescale>
std::vector<float> LevelRow(const std::array<std::int8_t, kLevels>& levels, Random& random,
                            const Rescale& rescale) {
  std::vector<float> x(512);
  for (std::size_t i = 0; i < x.size(); ++i) {
    // Both ends of the levels in every 32.
    const std::size_t level = i % 32 == 3 ? 0 : i % 32 == 9 ? kLevels - 1 : random.Below(kLevels);
    x[i] = rescale(i / 32) * static_cast<float>(levels[level]);
  }
  return x;
}

TEST(LevelEncode, RepresentableRowsAreExact) {
  Random random(6, 0, RandomPurpose::kTest);
  for (int turn = 0; turn < 20; ++turn) {
    for (const float sign : {-1.0f, 1.0f}) {
      std::vector<float> nl = LevelRow(kIq4Levels, random, [&](std::size_t) { return sign * 0x1.4p-8f; });
      EXPECT_EQ(RoundTrip(Type::kIQ4_NL, nl), nl);
      std::array<float, 16> multiples;
      for (float& m : multiples) m = static_cast<float>(random.Below(63)) - 31;
      multiples[2] = multiples[11] = -32;
      std::vector<float> xs =
          LevelRow(kIq4Levels, random, [&](std::size_t part) { return sign * 0x1.8p-10f * multiples[part]; });
      EXPECT_EQ(RoundTrip(Type::kIQ4_XS, xs), xs);
    }
    std::vector<float> fp4 = LevelRow(
        kMxfp4Levels, random, [](std::size_t part) { return std::ldexp(1.0f, static_cast<int>(part) - 9); });
    EXPECT_EQ(RoundTrip(Type::kMXFP4, fp4), fp4);
  }
  // The smallest numbers too, which have no exponent of their own.
  std::vector<float> small(32, 0x1p-59f);
  EXPECT_EQ(RoundTrip(Type::kMXFP4, small), small);
}

// BitNet's rows: one scale, and -1, 0 or 1, in any mixture.
TEST(LevelEncode, TernaryRowsAreExact) {
  Random random(7, 0, RandomPurpose::kTest);
  for (const float d : {1.0f, 0.0123f, 300.0f, 0x1p-20f}) {
    const float half = F16ToF32(F32ToF16(d));
    for (const int zeros_of_ten : {0, 3, 5, 9}) {
      std::vector<float> x(1024), importance = Gaussian(1024, 1, 3);
      for (float& value : x) {
        value = random.Below(10) < zeros_of_ten ? 0.0f : random.Below(2) == 0 ? half : -half;
      }
      for (float& value : importance) value = value * value;
      for (const Type type : {Type::kTQ1_0, Type::kTQ2_0}) {
        EXPECT_EQ(RoundTrip(type, x), x) << Traits(type).name << " " << d << " " << zeros_of_ten;
        EXPECT_EQ(RoundTrip(type, x, importance.data()), x)
            << Traits(type).name << " " << d << " " << zeros_of_ten;
      }
    }
  }
}

// ---- The scale is the best one.

// Dropping all but the largest k magnitudes, for every k, finds the least error that three values can leave.
TEST(LevelEncode, TernaryScalesAreNearTheBest) {
  double best = 0, reached = 0;
  for (std::uint64_t stream = 0; stream < 50; ++stream) {
    std::vector<float> x = Gaussian(256, 1, stream);
    if (stream % 2 == 1) {
      for (float& value : x) value *= value * value;  // long tails
    }
    std::vector<float> sizes(x.size());
    std::ranges::transform(x, sizes.begin(), [](float value) { return std::abs(value); });
    std::ranges::sort(sizes, std::greater());
    double squares = 0, sum = 0, gain = 0;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      squares += double{sizes[k]} * sizes[k];
      sum += sizes[k];
      gain = std::max(gain, sum * sum / static_cast<double>(k + 1));
    }
    best += squares - gain;
    reached += SquareError(x, RoundTrip(Type::kTQ2_0, x));
    EXPECT_EQ(RoundTrip(Type::kTQ1_0, x), RoundTrip(Type::kTQ2_0, x));
  }
  EXPECT_LT(reached, 1.005 * best);
}

// Trying every exponent, with the nearest levels, finds the least error that MXFP4 can leave.
TEST(LevelEncode, Mxfp4ExponentsAreTheBest) {
  for (std::uint64_t stream = 0; stream < 200; ++stream) {
    std::vector<float> x = Gaussian(32, 1, stream);
    x[0] *= static_cast<float>(1 + stream % 5);
    double best = INFINITY;
    for (int exponent = -8; exponent < 8; ++exponent) {
      const float d = std::ldexp(1.0f, exponent);
      double error = 0;
      for (const float value : x) {
        double least = INFINITY;
        for (const std::int8_t level : kMxfp4Levels) {
          least = std::min(least, std::pow(double{value} - d * static_cast<float>(level), 2));
        }
        error += least;
      }
      best = std::min(best, error);
    }
    EXPECT_NEAR(SquareError(x, RoundTrip(Type::kMXFP4, x)), best, 1e-5 * best);
  }
}

// ---- A block's bytes depend on its own values alone.

TEST_P(LevelTypes, NeighboursDoNotMatter) {
  const std::vector<float> x = Gaussian(24 * 256), importance = [] {
    std::vector<float> w = Gaussian(24 * 256, 1, 1);
    for (float& value : w) value = value * value;
    return w;
  }();
  const std::vector<std::byte> all = EncodeAll(GetParam(), x, importance.data());
  const std::int64_t block = Traits(GetParam()).block_elements;
  for (const std::int64_t blocks : {1, 2, 7, 15, 16, 17}) {
    std::vector<std::byte> some(static_cast<std::size_t>(RowBytes(GetParam(), blocks * block)));
    for (const std::int64_t first : {0, 3}) {
      EncodeRow(GetParam(), x.data() + first * block, some.data(), blocks * block,
                importance.data() + first * block);
      EXPECT_EQ(std::memcmp(some.data(), all.data() + RowBytes(GetParam(), first * block), some.size()), 0)
          << blocks << " from " << first;
    }
  }
}

TEST_P(LevelTypes, InstructionSetsAgree) {
  std::vector<float> x = Gaussian(40 * 256), importance = Gaussian(x.size(), 1, 1);
  for (float& value : importance) value = value * value;
  const std::vector<std::byte> want = EncodeAll(GetParam(), x),
                               weighted = EncodeAll(GetParam(), x, importance.data());
  const std::int64_t supported = hwy::SupportedTargets();
  for (const std::int64_t target :
       {std::int64_t{HWY_AVX3}, std::int64_t{HWY_AVX2}, std::int64_t{HWY_STATIC_TARGET}}) {
    if ((supported & target) == 0) continue;
    hwy::GetChosenTarget().Update(target);
    EXPECT_EQ(EncodeAll(GetParam(), x), want) << hwy::TargetName(target);
    EXPECT_EQ(EncodeAll(GetParam(), x, importance.data()), weighted) << hwy::TargetName(target);
  }
  hwy::GetChosenTarget().Update(supported);
}

}  // namespace
}  // namespace longspan
