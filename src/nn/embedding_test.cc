#include "nn/embedding.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/parallel.h"
#include "nn/testing/double_matrix.h"

namespace longspan {
namespace {

using oracle::DoubleMatrix;
using oracle::ExpectGradient;
using oracle::Probed;
using oracle::RandomMatrix;
using oracle::RandomTensor;
using oracle::Widen;

// x = rows of the table, in doubles.
DoubleMatrix Lookup(const DoubleMatrix& table, std::span<const std::int32_t> tokens) {
  DoubleMatrix x(static_cast<std::int64_t>(tokens.size()), table.cols());
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    std::ranges::copy(RowsOf<const double>(table)[tokens[i]], RowsOf<double>(x)[i].begin());
  }
  return x;
}

TEST(EmbeddingTest, DecodesRowsOfAnyType) {
  std::vector<std::int32_t> tokens{4, 0, 4, 6};
  while (tokens.size() < 35) tokens.push_back(static_cast<std::int32_t>(tokens.size() * 5 % 7));
  for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
    const Tensor table = RandomTensor(type, 7, 5, 1);
    Matrix x(35, 5);
    EmbeddingForward(table, tokens, x);
    const DoubleMatrix want = Lookup(Widen(table), tokens);
    EXPECT_TRUE(std::ranges::equal(x.span(), want.span())) << Traits(type).name;
  }
}

TEST(EmbeddingTest, BackwardIsTheDerivative) {
  const std::vector<std::int32_t> tokens{4, 0, 4, 6, 4};  // the gradients of a repeated token are added up
  DoubleMatrix table = Widen(RandomMatrix(7, 5, 1));
  const Matrix probe = RandomMatrix(5, 5, 2);
  Matrix dtable(7, 5);
  EmbeddingBackward(tokens, probe, dtable);
  ExpectGradient("dtable", table, dtable, [&] { return Probed(Lookup(table, tokens), probe); });
}

TEST(EmbeddingTest, BackwardAddsAndDoesNotDependOnThreads) {
  std::vector<std::int32_t> tokens;
  Random random(1, 1, RandomPurpose::kTest);
  for (int i = 0; i < 300; ++i) tokens.push_back(static_cast<std::int32_t>(random.Below(11)));
  const Matrix dx = RandomMatrix(300, 130, 1), before = RandomMatrix(11, 130, 2);
  const int kept = Threads();
  Matrix first;
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    Matrix dtable = before;
    EmbeddingBackward(tokens, dx, dtable);
    if (threads == 1) first = dtable;
    EXPECT_TRUE(std::ranges::equal(dtable.span(), first.span())) << threads << " threads";
  }
  SetThreads(kept);
  Matrix from_zero(11, 130);
  EmbeddingBackward(tokens, dx, from_zero);
  for (std::size_t i = 0; i < first.span().size(); ++i) {
    ASSERT_NEAR(first.span()[i], before.span()[i] + from_zero.span()[i], 1e-4);
  }
}

TEST(EmbeddingTest, RefusesTokensOutsideTheVocabulary) {
  const Tensor table = RandomTensor(Type::kF32, 7, 5, 1);
  Matrix x(1, 5);
  for (const std::int32_t token : {-1, 7}) {
    const std::vector<std::int32_t> tokens{token};
    try {
      EmbeddingForward(table, tokens, x);
      ADD_FAILURE() << token << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    }
  }
}

}  // namespace
}  // namespace longspan
