#include "nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/reference/reference.h"
#include "nn/testing/double_matrix.h"

namespace longspan {
namespace {

using oracle::DoubleMatrix;
using oracle::ExpectGradient;
using oracle::Probed;
using oracle::RandomMatrix;
using oracle::Widen;

std::vector<double> Frequencies(std::int64_t head_dim, double theta) {
  std::vector<double> inverse;
  for (std::int64_t j = 0; j < head_dim / 2; ++j)
    inverse.push_back(std::pow(theta, -2.0 * static_cast<double>(j) / static_cast<double>(head_dim)));
  return inverse;
}

// The last position of a 64k window: 65,535 radians are 10,430 turns and 65535 - 10430 * 2 pi = 1.377...
TEST(RopeTableTest, AnglesAreExactAtTheEndOfA64kWindow) {
  const std::vector<std::int32_t> positions{65535};
  const std::vector<double> inverse = Frequencies(128, 500000.0);
  const RopeTable table(positions, inverse, 1.0);
  double worst_of_float = 0;
  for (std::size_t j = 0; j < inverse.size(); ++j) {
    const long double turns =
        65535.0L * static_cast<long double>(inverse[j]) / (2 * std::numbers::pi_v<long double>);
    const long double angle = (turns - std::floor(turns)) * 2 * std::numbers::pi_v<long double>;
    EXPECT_NEAR(table.cos()[0][j], static_cast<double>(std::cos(angle)), 1e-7) << j;
    EXPECT_NEAR(table.sin()[0][j], static_cast<double>(std::sin(angle)), 1e-7) << j;
    const float rounded = 65535.0f * static_cast<float>(inverse[j]);
    worst_of_float = std::max(worst_of_float, std::abs(static_cast<double>(std::cos(rounded)) -
                                                       static_cast<double>(std::cos(angle))));
  }
  EXPECT_GT(worst_of_float, 1e-4) << "float32 angles are too good for this test to notice them";
}

TEST(RopeTableTest, MagnitudeScalesCosineAndSine) {
  const std::vector<std::int32_t> positions{0, 3};
  const std::vector<double> inverse{0.5};
  const RopeTable table(positions, inverse, 1.25);
  EXPECT_FLOAT_EQ(table.cos()[0][0], 1.25f);
  EXPECT_FLOAT_EQ(table.sin()[0][0], 0.0f);
  EXPECT_FLOAT_EQ(table.cos()[1][0], static_cast<float>(1.25 * std::cos(1.5)));
  EXPECT_FLOAT_EQ(table.sin()[1][0], static_cast<float>(1.25 * std::sin(1.5)));
}

class RopeTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

TEST_P(RopeTest, BackwardIsTheDerivative) {
  const std::vector<std::int32_t> positions{0, 7, 3, 60000, 60001};  // PoSE's jump, and a step back
  const std::int64_t head_dim = 6, heads = 3;
  const std::vector<double> inverse = Frequencies(head_dim, 10000.0);
  for (const auto& [magnitude, pairing] :
       {std::pair(1.0, RopePairing::kNeighbours), std::pair(1.3, RopePairing::kHalves)}) {
    const RopeTable table(positions, inverse, magnitude, pairing);
    const DoubleMatrix cos = Widen(table.cos()), sin = Widen(table.sin());
    const Matrix probe = RandomMatrix(5, heads * head_dim, 2);
    Matrix x = RandomMatrix(5, heads * head_dim, 1), dx = probe;
    DoubleMatrix wide = Widen(x);
    const auto forward = [&] {
      DoubleMatrix y = wide;
      reference::Rope<double>(y, head_dim, table.pairing(), cos, sin, false);
      return y;
    };
    RopeForward(kernels(), table, head_dim, x);
    oracle::ExpectClose(x, forward(), 1e-6, "y");
    RopeBackward(kernels(), table, head_dim, dx);
    ExpectGradient("dx", wide, dx, [&] { return Probed(forward(), probe); });
  }
}

// By hand: a quarter turn sends each pair's first dimension to its second.
TEST_P(RopeTest, PairsAreNeighboursOrHalves) {
  const Matrix cos(1, 2);
  Matrix sin(1, 2);
  sin[0][0] = sin[0][1] = 1;
  const auto turned = [&](RopePairing pairing) {
    Matrix x(1, 8);
    for (int i = 0; i < 8; ++i) x[0][i] = static_cast<float>(i + 1);
    kernels().Rope(x, 4, pairing, cos, sin, false);
    return std::vector<float>(x.span().begin(), x.span().end());
  };
  EXPECT_EQ(turned(RopePairing::kNeighbours), (std::vector<float>{-2, 1, -4, 3, -6, 5, -8, 7}));
  EXPECT_EQ(turned(RopePairing::kHalves), (std::vector<float>{-3, -4, 1, 2, -7, -8, 5, 6}));
}

// What RoPE is for: the product of a rotated query and a rotated key depends on the distance of their
// positions alone.
TEST_P(RopeTest, ScoresDependOnDistanceOnly) {
  const std::int64_t head_dim = 64;
  const std::vector<double> inverse = Frequencies(head_dim, 500000.0);
  const Matrix q = RandomMatrix(1, head_dim, 1), k = RandomMatrix(1, head_dim, 2);
  const auto score = [&](std::int32_t query_position, std::int32_t key_position) {
    Matrix turned_q = q, turned_k = k;
    const std::vector<std::int32_t> at_q{query_position}, at_k{key_position};
    RopeForward(kernels(), RopeTable(at_q, inverse, 1), head_dim, turned_q);
    RopeForward(kernels(), RopeTable(at_k, inverse, 1), head_dim, turned_k);
    double sum = 0;
    for (std::size_t d = 0; d < q.span().size(); ++d)
      sum += static_cast<double>(turned_q.span()[d]) * static_cast<double>(turned_k.span()[d]);
    return sum;
  };
  EXPECT_NEAR(score(100, 60), score(65535, 65495), 2e-5);
  EXPECT_NEAR(score(40000, 0), score(65535, 25535), 2e-5);
  EXPECT_GT(std::abs(score(100, 60) - score(100, 61)), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Isa, RopeTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
