#include "nn/linear.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "kernels/reference/reference.h"
#include "nn/testing/double_matrix.h"
#include "nn/testing/dropout_mask.h"
#include "nn/testing/reference_block.h"

namespace longspan {
namespace {

using oracle::DoubleMatrix;
using oracle::DropoutMask;
using oracle::ExpectClose;
using oracle::ExpectGradient;
using oracle::Probed;
using oracle::RandomMatrix;
using oracle::RandomTensor;
using oracle::ReferenceLinear;
using oracle::Widen;

class LinearTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

Adapter RandomAdapter(std::int64_t out, std::int64_t in, std::int64_t rank, float dropout = 0) {
  return {RandomTensor(Type::kF32, rank, in, 101), RandomTensor(Type::kF32, out, rank, 102), 0.7f, dropout,
          5};
}

// A layer, a batch, and where its gradients go.
struct Fixture {
  Fixture(Type type, std::int64_t n, std::int64_t out, std::int64_t in, std::int64_t rank, float dropout = 0)
      : adapter(RandomAdapter(out, in, std::max<std::int64_t>(rank, 1), dropout)),
        linear{RandomTensor(type, out, in, 100), rank > 0 ? &adapter : nullptr},
        x(RandomMatrix(n, in, 1)),
        dy(RandomMatrix(n, out, 2)),
        dx(n, in),
        dweight(out, in),
        da(adapter.a.rows(), in),
        db(out, adapter.a.rows()) {}

  LinearGradient Gradient() { return {linear.weight.type() == Type::kF32 ? Rows(dweight) : Rows(), da, db}; }

  Adapter adapter;
  Linear linear;
  Matrix x, dy, dx, dweight, da, db;
};

struct Shape {
  std::int64_t n, out, in, rank;
};
// One row, a few rows, and enough rows to be packed. No number of outputs fills whole vectors.
constexpr Shape kShapes[] = {{1, 5, 7, 0}, {3, 6, 4, 2}, {9, 17, 20, 3}, {13, 33, 10, 16}};

TEST_P(LinearTest, MatchesDoublePrecisionForwardAndBackward) {
  for (const Shape& s : kShapes) {
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
      const std::string what =
          fmt::format("{}x{}x{} rank {} {}: ", s.n, s.out, s.in, s.rank, Traits(type).name);
      Fixture f(type, s.n, s.out, s.in, s.rank);
      ReferenceLinear reference(f.linear);
      DoubleMatrix x = Widen(f.x);
      const auto loss = [&] { return Probed(reference.Forward(x), f.dy); };

      Matrix y(s.n, s.out);
      LinearForward(kernels(), f.linear, {}, f.x, y, Store::kSet);
      ExpectClose(y, reference.Forward(x), 1e-5, what + "y");

      LinearBackward(kernels(), f.linear, {}, f.x, f.dy, f.dx, Store::kSet, f.Gradient());
      ExpectGradient(what + "dx", x, f.dx, loss);
      if (type == Type::kF32) ExpectGradient(what + "dweight", reference.weight, f.dweight, loss);
      if (s.rank == 0) continue;
      ExpectGradient(what + "da", reference.a, f.da, loss);
      ExpectGradient(what + "db", reference.b, f.db, loss);
    }
  }
}

TEST_P(LinearTest, AddsWhereAsked) {
  Fixture f(Type::kF32, 9, 17, 20, 3);
  Matrix y(9, 17), added = RandomMatrix(9, 17, 3);
  const Matrix before = added;
  LinearForward(kernels(), f.linear, {}, f.x, y, Store::kSet);
  LinearForward(kernels(), f.linear, {}, f.x, added, Store::kAdd);
  ExpectClose(added, oracle::Plus(Widen(y), Widen(before)), 1e-6, "y");

  LinearBackward(kernels(), f.linear, {}, f.x, f.dy, f.dx, Store::kSet, f.Gradient());
  Fixture twice(Type::kF32, 9, 17, 20, 3);
  LinearBackward(kernels(), twice.linear, {}, f.x, f.dy, twice.dx, Store::kSet, twice.Gradient());
  LinearBackward(kernels(), twice.linear, {}, f.x, f.dy, twice.dx, Store::kAdd, twice.Gradient());
  ExpectClose(twice.dx, oracle::Plus(Widen(f.dx), Widen(f.dx)), 1e-6, "dx");
  ExpectClose(twice.dweight, oracle::Plus(Widen(f.dweight), Widen(f.dweight)), 1e-6, "dweight");
  ExpectClose(twice.da, oracle::Plus(Widen(f.da), Widen(f.da)), 1e-6, "da");
  ExpectClose(twice.db, oracle::Plus(Widen(f.db), Widen(f.db)), 1e-6, "db");
}

// Freezing parameters must not change what flows past them.
TEST_P(LinearTest, FrozenParametersChangeNothingElse) {
  Fixture f(Type::kF32, 9, 17, 20, 3, 0.25f), frozen(Type::kF32, 9, 17, 20, 3, 0.25f);
  const DropoutStep step{true, 3, 4};
  LinearBackward(kernels(), f.linear, step, f.x, f.dy, f.dx, Store::kSet, f.Gradient());
  LinearBackward(kernels(), frozen.linear, step, f.x, f.dy, frozen.dx, Store::kSet, {});
  EXPECT_TRUE(std::ranges::equal(f.dx.span(), frozen.dx.span()));
  LinearBackward(kernels(), frozen.linear, step, f.x, f.dy, frozen.dx, Store::kSet, {{}, frozen.da, {}});
  EXPECT_TRUE(std::ranges::equal(f.da.span(), frozen.da.span()));
  LinearBackward(kernels(), frozen.linear, step, f.x, f.dy, frozen.dx, Store::kSet, {{}, {}, frozen.db});
  EXPECT_TRUE(std::ranges::equal(f.db.span(), frozen.db.span()));
}

TEST_P(LinearTest, GradientsAreCorrectGivenTheDropoutMask) {
  const DropoutStep step{true, 11, 42};
  for (const Type type : {Type::kF32, Type::kBF16}) {
    Fixture f(type, 9, 17, 20, 3, 0.3f);
    ReferenceLinear reference(f.linear);
    reference.mask = DropoutMask(kernels(), f.adapter, step, 9);
    DoubleMatrix x = Widen(f.x);
    const auto loss = [&] { return Probed(reference.Forward(x), f.dy); };

    Matrix y(9, 17);
    LinearForward(kernels(), f.linear, step, f.x, y, Store::kSet);
    ExpectClose(y, reference.Forward(x), 1e-5, "y");
    LinearBackward(kernels(), f.linear, step, f.x, f.dy, f.dx, Store::kSet, f.Gradient());
    ExpectGradient("dx", x, f.dx, loss);
    if (type == Type::kF32) ExpectGradient("dweight", reference.weight, f.dweight, loss);
    ExpectGradient("da", reference.a, f.da, loss);
    ExpectGradient("db", reference.b, f.db, loss);
  }
}

TEST_P(LinearTest, DropoutIsAFunctionOfSeedStepAndStream) {
  const std::int64_t rows = 20, in = 40;
  const Adapter adapter = RandomAdapter(4, in, 2, 0.5f);
  Adapter other = adapter;
  other.stream = 6;
  const auto mask = [&](const Adapter& a, std::uint64_t seed, std::uint64_t step) {
    const DoubleMatrix m = DropoutMask(kernels(), a, {true, seed, step}, rows);
    return std::vector<double>(m.span().begin(), m.span().end());
  };
  const std::vector<double> first = mask(adapter, 1, 2);
  EXPECT_EQ(mask(adapter, 1, 2), first) << "a recomputed pass draws the same";
  EXPECT_NE(mask(adapter, 1, 3), first);
  EXPECT_NE(mask(adapter, 2, 2), first);
  EXPECT_NE(mask(other, 1, 2), first);
  for (std::int64_t i = 1; i < rows; ++i) {
    EXPECT_FALSE(std::equal(first.begin(), first.begin() + in, first.begin() + i * in)) << "row " << i;
  }
  const int threads = Threads();
  for (int t = 1; t <= 4; ++t) {
    SetThreads(t);
    EXPECT_EQ(mask(adapter, 1, 2), first) << t << " threads";
  }
  SetThreads(threads);
}

TEST_P(LinearTest, DropoutPreservesTheExpectation) {
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    const Adapter adapter = RandomAdapter(4, 200, 2, p);
    double sum = 0, draws = 0;
    for (std::uint64_t step = 0; step < 8; ++step) {
      const DoubleMatrix mask = DropoutMask(kernels(), adapter, {true, 7, step}, 50);
      for (const double m : mask.span()) {
        ASSERT_TRUE(m == 0 || std::abs(m * (1 - static_cast<double>(p)) - 1) < 1e-6) << m;
        sum += m;
        ++draws;
      }
    }
    const double deviation = std::sqrt(static_cast<double>(p / (1 - p)) / draws);  // of the mean
    EXPECT_NEAR(sum / draws, 1, 5 * deviation) << "p " << p;
  }
}

TEST_P(LinearTest, DropoutIsForTrainingOnly) {
  Fixture f(Type::kF32, 9, 17, 20, 3, 0.5f), without(Type::kF32, 9, 17, 20, 3, 0);
  Matrix y(9, 17), want(9, 17);
  LinearForward(kernels(), f.linear, {}, f.x, y, Store::kSet);
  LinearForward(kernels(), without.linear, {true, 1, 1}, f.x, want, Store::kSet);
  EXPECT_TRUE(std::ranges::equal(y.span(), want.span()));
}

INSTANTIATE_TEST_SUITE_P(Isa, LinearTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
