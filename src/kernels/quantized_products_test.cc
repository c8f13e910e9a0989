// Products with weights of every quantised type, on every implementation of this machine, against the
// reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/random_blocks.h"

namespace longspan {
namespace {

using oracle::ExpectClose;
using oracle::RandomMatrix;

// Relative to the largest element. Weights are decoded exactly and sums are F32, so only their order differs.
constexpr float kTolerance = 1e-5f;

class QuantizedProductsTest : public testing::TestWithParam<std::tuple<std::string, Type>> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(std::get<0>(GetParam())); }
  const Kernels& oracle() const { return ReferenceKernels(); }
  Type type() const { return std::get<1>(GetParam()); }

  // y = x W^T both ways, set and added.
  void CompareMatMul(std::int64_t n, std::int64_t out, std::int64_t in) const {
    const Tensor w = RandomBlocks(type(), out, in, 1);
    const Matrix x = RandomMatrix(n, in, 2);
    for (const Store store : {Store::kSet, Store::kAdd}) {
      Matrix y = RandomMatrix(n, out, 3), want = y;
      kernels().MatMul(x, w, y, store);
      oracle().MatMul(x, w, want, store);
      ExpectClose(y.span(), want.span(), kTolerance, fmt::format("{} x {} x {}", n, out, in));
    }
  }
};

TEST_P(QuantizedProductsTest, AnyNumberOfTokens) {
  for (std::int64_t n = 1; n <= 40; ++n) CompareMatMul(n, 33, 256);
}

TEST_P(QuantizedProductsTest, RaggedWeights) {
  for (const std::int64_t n : {1, 5, 17}) {
    for (const std::int64_t out : {1, 7, 16, 65, 130}) CompareMatMul(n, out, 512);
    CompareMatMul(n, 40, 256 * 5);
  }
}

// Types with short blocks also allow rows that are not a multiple of 256.
TEST_P(QuantizedProductsTest, OddNumbersOfBlocks) {
  const std::int64_t block = Traits(type()).block_elements;
  for (const std::int64_t blocks : {1, 3, 9}) {
    for (const std::int64_t n : {1, 13}) CompareMatMul(n, 20, blocks * block);
  }
}

TEST_P(QuantizedProductsTest, InputGradient) {
  for (const std::int64_t n : {1, 6, 33}) {
    const Tensor w = RandomBlocks(type(), 37, 768, 4);
    const Matrix dy = RandomMatrix(n, 37, 5);
    Matrix dx = RandomMatrix(n, 768, 6), want = dx;
    kernels().MatMulInputGradient(dy, w, dx, Store::kAdd);
    oracle().MatMulInputGradient(dy, w, want, Store::kAdd);
    ExpectClose(dx.span(), want.span(), kTolerance, fmt::format("{} tokens", n));
  }
}

TEST_P(QuantizedProductsTest, ThreadsDoNotChangeResults) {
  const int kept = Threads();
  for (const std::int64_t n : {1, 40}) {
    const Tensor w = RandomBlocks(type(), 300, 512, 7);
    const Matrix x = RandomMatrix(n, 512, 8);
    Matrix first(n, 300);
    for (int threads = 1; threads <= 4; ++threads) {
      SetThreads(threads);
      Matrix y(n, 300);
      kernels().MatMul(x, w, y, Store::kSet);
      if (threads == 1) first = y;
      EXPECT_TRUE(std::ranges::equal(y.span(), first.span())) << threads << " threads, " << n << " tokens";
    }
  }
  SetThreads(kept);
}

std::string NameOf(const testing::TestParamInfo<std::tuple<std::string, Type>>& info) {
  return fmt::format("{}_{}", std::get<0>(info.param), Traits(std::get<1>(info.param)).name);
}
INSTANTIATE_TEST_SUITE_P(IsaAndType, QuantizedProductsTest,
                         testing::Combine(testing::ValuesIn(AvailableKernels()),
                                          testing::ValuesIn(kQuantizedTypes)),
                         NameOf);

// Random blocks decode to finite weights of moderate size. Otherwise the comparisons above would prove
// little.
TEST(RandomBlocks, DecodeToSaneWeights) {
  for (const Type type : kWeightTypes) {
    const Tensor w = RandomWeight(type, 16, 512, 9).ToF32();
    double squares = 0;
    for (const float x : w.floats()) {
      ASSERT_TRUE(std::isfinite(x)) << Traits(type).name;
      squares += static_cast<double>(x) * x;
    }
    const double rms = std::sqrt(squares / static_cast<double>(w.elements()));
    EXPECT_GT(rms, 0.1) << Traits(type).name;
    EXPECT_LT(rms, 2) << Traits(type).name;
  }
}

}  // namespace
}  // namespace longspan
