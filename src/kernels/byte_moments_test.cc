#include "kernels/byte_moments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace longspan {
namespace {

TEST(ByteMoments, CodesAreThoseOfBitsandbytes) {
  for (const MomentCodes* codes : {&SignedMomentCodes(), &UnsignedMomentCodes()}) {
    EXPECT_EQ(std::set<float>(codes->values.begin(), codes->values.end()).size(), 256u);
    EXPECT_TRUE(std::ranges::is_sorted(codes->values));
    EXPECT_EQ(codes->values.back(), 1.0f);
  }
  const auto& of_m = SignedMomentCodes().values;
  const auto& of_v = UnsignedMomentCodes().values;
  EXPECT_EQ(std::ranges::count(of_m, 0.0f), 1);
  EXPECT_EQ(of_v.front(), 0.0f);
  // The smallest decade of m has one part, the largest 64; v has twice as many.
  EXPECT_FLOAT_EQ(*std::ranges::upper_bound(of_m, 0.0f), 0.55e-6f);
  EXPECT_FLOAT_EQ(of_v[1], 0.325e-6f);
  EXPECT_FLOAT_EQ(of_m[254], 1 - 0.9f / 128);
  EXPECT_FLOAT_EQ(of_m.front(), -(1 - 0.9f / 128));
  EXPECT_FLOAT_EQ(of_v[254], 1 - 0.9f / 256);
}

TEST(ByteMoments, NearestIsTheNearest) {
  Random random(1, 2, RandomPurpose::kTest);
  for (const MomentCodes* codes : {&SignedMomentCodes(), &UnsignedMomentCodes()}) {
    const bool with_sign = codes->values.front() < 0;
    for (int i = 0; i < 20000; ++i) {
      const float size = std::pow(10.0f, -8 * static_cast<float>(random.Uniform()));
      const float x = with_sign && i % 2 == 0 ? -size : size;
      const float got = codes->values[codes->Nearest(x)];
      float best = 2;
      for (const float value : codes->values) best = std::min(best, std::abs(value - x));
      if (x < 0 && x > -0.275e-6f) {
        EXPECT_LT(got, 0);  // it keeps its sign
      } else {
        ASSERT_FLOAT_EQ(std::abs(got - x), best) << x;
      }
    }
    for (std::size_t code = 0; code < 256; ++code) EXPECT_EQ(codes->Nearest(codes->values[code]), code);
  }
  EXPECT_EQ(UnsignedMomentCodes().Nearest(0), 0);
  EXPECT_EQ(SignedMomentCodes().values[SignedMomentCodes().Nearest(0)], 0);
}

class ByteMomentsTest : public testing::TestWithParam<std::string> {
 protected:
  static constexpr std::int64_t kN = 256 * 300 + 77;  // more than a thread's piece, and a partial block
  struct State {
    std::vector<float> parameter;
    std::vector<std::uint8_t> m, v;
    std::vector<float> m_scales, v_scales;
    ByteMoments moments() { return {m, v, m_scales, v_scales}; }
  };

  static State Begin() {
    State s{std::vector<float>(kN), std::vector<std::uint8_t>(kN), std::vector<std::uint8_t>(kN),
            std::vector<float>(MomentBlocks(kN)), std::vector<float>(MomentBlocks(kN))};
    Random random(3, 1, RandomPurpose::kTest);
    for (float& x : s.parameter) x = random.Normal();
    return s;
  }
  static std::vector<float> Gradient(int step) {
    Random random(4, step, RandomPurpose::kTest);
    std::vector<float> gradient(kN);
    // Blocks of very different sizes, and one of zeros.
    for (std::int64_t i = 0; i < kN; ++i)
      gradient[i] = i / 256 == 5 ? 0 : random.Normal() * std::pow(10.0f, static_cast<float>(i / 256 % 9) - 6);
    return gradient;
  }
  static AdamWStep Step(int t) {
    return {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 1 - std::pow(0.9f, t + 1.0f), 1 - std::pow(0.95f, t + 1.0f)};
  }
  static State Run(const Kernels& kernels, int steps) {
    State s = Begin();
    for (int t = 0; t < steps; ++t) kernels.AdamWInBytes(Step(t), Gradient(t), s.moments(), s.parameter);
    return s;
  }
};

// Rounding differs in the last bit, which may tip a code to its neighbour; the next steps then see that.
TEST_P(ByteMomentsTest, IsTheReferences) {
  const State got = Run(ChooseKernels(GetParam()), 1), want = Run(ReferenceKernels(), 1);
  for (std::int64_t i = 0; i < kN; ++i) {
    ASSERT_NEAR(got.parameter[i], want.parameter[i], 1e-5f) << i;
    ASSERT_LE(std::abs(got.m[i] - want.m[i]), 1) << i;
    ASSERT_LE(std::abs(got.v[i] - want.v[i]), 1) << i;
  }
  for (std::int64_t b = 0; b < MomentBlocks(kN); ++b) {
    ASSERT_FLOAT_EQ(got.m_scales[b], want.m_scales[b]);
    ASSERT_FLOAT_EQ(got.v_scales[b], want.v_scales[b]);
  }
  EXPECT_EQ(got.m_scales[5], 0);
}

TEST_P(ByteMomentsTest, StaysNearTheMomentsInFloats) {
  constexpr int kSteps = 20;
  const Kernels& kernels = ChooseKernels(GetParam());
  const State bytes = Run(kernels, kSteps);
  std::vector<float> parameter = Begin().parameter, m(kN), v(kN);
  const std::vector<float> start = parameter;
  for (int t = 0; t < kSteps; ++t) kernels.AdamW(Step(t), Gradient(t), m, v, parameter);
  double difference = 0, moved = 0;
  for (std::int64_t i = 0; i < kN; ++i) {
    ASSERT_TRUE(std::isfinite(bytes.parameter[i])) << i;
    difference += std::pow(bytes.parameter[i] - parameter[i], 2);
    moved += std::pow(parameter[i] - start[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / moved), 0.03);
}

TEST_P(ByteMomentsTest, ThreadsDoNotChangeResults) {
  const int threads = Threads();
  const State want = Run(ChooseKernels(GetParam()), 3);
  for (int n = 1; n <= 3; ++n) {
    SetThreads(n);
    const State got = Run(ChooseKernels(GetParam()), 3);
    EXPECT_EQ(got.parameter, want.parameter);
    EXPECT_EQ(got.m, want.m);
    EXPECT_EQ(got.v, want.v);
  }
  SetThreads(threads);
}

INSTANTIATE_TEST_SUITE_P(Isa, ByteMomentsTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
