// A sliding window by hand; attention_test.cc compares with the reference.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/kernels.h"

namespace longspan {
namespace {

class AttentionWindowTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

// With the same key everywhere, a query averages the values that it sees.
TEST_P(AttentionWindowTest, SeesItselfAndWhatIsLessThanItBefore) {
  const AttentionShape shape{1, 1, 32, 1.0f, 3};
  const std::int64_t n = 70;
  const Matrix q(n, 32), k(n, 32);
  Matrix v(n, 32), out(n, 32), log_sum_exp(1, n);
  for (std::int64_t i = 0; i < n; ++i) std::ranges::fill(v[i], static_cast<float>(i));
  const AttentionSequence sequence{{q, KvView::OfRows(k, v, 32)}, out, log_sum_exp};
  kernels().Attention(shape, {&sequence, 1});
  for (std::int64_t i = 0; i < n; ++i) {
    const float seen = static_cast<float>(std::min<std::int64_t>(i + 1, 3));
    EXPECT_NEAR(out[i][0], static_cast<float>(i) - (seen - 1) / 2, 0.01f * static_cast<float>(i + 1)) << i;
    EXPECT_NEAR(log_sum_exp[0][static_cast<std::size_t>(i)], std::log(seen), 1e-3f) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionWindowTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
