#include "nn/cross_entropy.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/reference/reference.h"
#include "nn/testing/double_matrix.h"

namespace longspan {
namespace {

using oracle::DoubleMatrix;
using oracle::ExpectGradient;
using oracle::RandomMatrix;
using oracle::RandomTensor;
using oracle::Widen;

std::vector<std::int32_t> Targets(std::int64_t n, std::int64_t vocab) {
  std::vector<std::int32_t> targets;
  Random random(5, 0, RandomPurpose::kTest);
  for (std::int64_t i = 0; i < n; ++i) {
    targets.push_back(i % 4 == 3 ? -1
                                 : static_cast<std::int32_t>(random.Below(vocab)));  // some are not scored
  }
  return targets;
}

// The sum of the losses, in doubles.
double ReferenceLoss(const DoubleMatrix& hidden, const DoubleMatrix& head,
                     std::span<const std::int32_t> targets) {
  DoubleMatrix logits(hidden.rows(), head.rows());
  reference::MatMul<double>(hidden, head, logits, Store::kSet);
  double sum = 0;
  for (std::int64_t i = 0; i < logits.rows(); ++i) {
    sum += reference::CrossEntropyRow<double>(RowsOf<double>(logits)[i], targets[i], false, 0);
  }
  return sum;
}

class CrossEntropyTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

struct Shape {
  std::int64_t n, dim, vocab;
  std::size_t stride;  // of the elements that are checked one by one
};
// The second has more rows than one chunk of logits.
constexpr Shape kShapes[] = {{7, 6, 19, 1}, {300, 5, 37, 50}};

TEST_P(CrossEntropyTest, MatchesDoublePrecisionForwardAndBackward) {
  for (const Shape& s : kShapes) {
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
      const std::string what = fmt::format("{} rows, {}: ", s.n, Traits(type).name);
      const Matrix hidden = RandomMatrix(s.n, s.dim, 1);
      const Tensor head = RandomTensor(type, s.vocab, s.dim, 2);
      const std::vector<std::int32_t> targets = Targets(s.n, s.vocab);
      DoubleMatrix wide_hidden = Widen(hidden), wide_head = Widen(head);
      constexpr double kScale = 0.125;
      const auto loss = [&] { return kScale * ReferenceLoss(wide_hidden, wide_head, targets); };

      Matrix dhidden = RandomMatrix(s.n, s.dim, 3), dhead(s.vocab, s.dim);  // dhidden is overwritten
      const Loss forward = CrossEntropyForward(kernels(), hidden, head, targets);
      const Loss backward =
          CrossEntropyBackward(kernels(), hidden, head, targets, static_cast<float>(kScale), dhidden, dhead);
      EXPECT_NEAR(forward.sum, loss() / kScale, 1e-5 * forward.sum) << what;
      EXPECT_NEAR(backward.sum, loss() / kScale, 1e-5 * backward.sum) << what;
      EXPECT_EQ(forward.tokens, s.n - s.n / 4) << what;
      EXPECT_EQ(backward.tokens, forward.tokens) << what;
      ExpectGradient(what + "dhidden", wide_hidden, dhidden, loss, s.stride);
      ExpectGradient(what + "dhead", wide_head, dhead, loss, s.stride);
    }
  }
}

TEST_P(CrossEntropyTest, TellsEachRowsLoss) {
  const Matrix hidden = RandomMatrix(300, 5, 1);
  const Tensor head = RandomTensor(Type::kF32, 37, 5, 2);
  const std::vector<std::int32_t> targets = Targets(300, 37);
  std::vector<double> losses(300, -1);
  const Loss loss = CrossEntropyForward(kernels(), hidden, head, targets, losses);
  double sum = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    sum += losses[i];
    const auto row = static_cast<std::int64_t>(i);  // a row that is not scored has no loss
    const double want =
        ReferenceLoss(Widen(ConstRows(hidden).Slice(row, 1)), Widen(head), std::span(targets).subspan(i, 1));
    EXPECT_NEAR(losses[i], want, 1e-5 * (1 + want)) << i;
  }
  EXPECT_NEAR(loss.sum, sum, 1e-9 * sum);
  EXPECT_DOUBLE_EQ(loss.mean(), loss.sum / 225);
}

TEST_P(CrossEntropyTest, AddsToTheHeadAndLeavesAFrozenOneAlone) {
  const Matrix hidden = RandomMatrix(7, 6, 1);
  const Tensor head = RandomTensor(Type::kF32, 19, 6, 2);
  const std::vector<std::int32_t> targets = Targets(7, 19);
  Matrix dhidden(7, 6), frozen(7, 6), once(19, 6), twice(19, 6);
  CrossEntropyBackward(kernels(), hidden, head, targets, 1, dhidden, once);
  for (int i = 0; i < 2; ++i) CrossEntropyBackward(kernels(), hidden, head, targets, 1, dhidden, twice);
  for (std::size_t i = 0; i < once.span().size(); ++i) EXPECT_NEAR(twice.span()[i], 2 * once.span()[i], 1e-5);
  CrossEntropyBackward(kernels(), hidden, head, targets, 1, frozen, {});
  EXPECT_TRUE(std::ranges::equal(dhidden.span(), frozen.span()));
}

TEST_P(CrossEntropyTest, NothingScoredIsNoLossAndNoGradient) {
  const Matrix hidden = RandomMatrix(3, 6, 1);
  const Tensor head = RandomTensor(Type::kF32, 19, 6, 2);
  const std::vector<std::int32_t> targets(3, -1);
  Matrix dhidden = RandomMatrix(3, 6, 3), dhead(19, 6);
  const Loss loss = CrossEntropyBackward(kernels(), hidden, head, targets, 1, dhidden, dhead);
  EXPECT_EQ(loss.sum, 0);
  EXPECT_EQ(loss.tokens, 0);
  EXPECT_EQ(loss.mean(), 0);
  for (const float x : dhidden.span()) EXPECT_EQ(x, 0);
  for (const float x : dhead.span()) EXPECT_EQ(x, 0);
}

INSTANTIATE_TEST_SUITE_P(Isa, CrossEntropyTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
