// Compares every implementation on this machine with the reference, over random shapes, including ragged
// ones.
#include "kernels/kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "kernels/testing/compare.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

using oracle::ExpectClose;
using oracle::RandomMatrix;

Tensor RandomWeight(Type type, std::int64_t rows, std::int64_t cols) {
  const Matrix m = RandomMatrix(rows, cols, 99);
  if (type == Type::kF32) return Tensor::FromRows(m);
  Tensor t = Tensor::Allocate(type, {rows, cols});
  for (std::size_t i = 0; i < m.span().size(); ++i) {
    const std::uint16_t bits = type == Type::kF16 ? F32ToF16(m.span()[i]) : F32ToBF16(m.span()[i]);
    std::memcpy(t.mutable_bytes().data() + 2 * i, &bits, 2);
  }
  return t;
}

class KernelsTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
  const Kernels& oracle() const { return ReferenceKernels(); }
};

struct Shape {
  std::int64_t n, out, in;
};
constexpr Shape kShapes[] = {{1, 5, 7},     {1, 64, 64},   {7, 33, 20},   {8, 31, 300}, {13, 65, 257},
                             {40, 129, 64}, {12, 32, 256}, {25, 17, 513}, {64, 300, 40}};

// For training: both operands of a product are rounded to BF16, each by 2^-9 of itself at most, and sums are
// F32. Errors of terms are independent, so that sums of n terms are off by far less than n times as much.
TEST_P(KernelsTest, Bf16ProductsAndTheirGradientsAreWithinTheFormatsError) {
  if (!HasBf16(GetParam())) GTEST_SKIP() << GetParam() << " has no BF16";
  const Kernels& bf16 = ChooseKernels(GetParam(), Activations::kBf16);
  for (const auto& [n, out, in] : kShapes) {
    const std::string what = fmt::format("{}x{}x{}", n, out, in);
    const Tensor w = RandomWeight(Type::kF32, out, in);
    const Matrix x = RandomMatrix(n, in, 1), dy = RandomMatrix(n, out, 2);
    Matrix y(n, out), y2 = y, dx = RandomMatrix(n, in, 4), dx2 = dx, dw = RandomMatrix(out, in, 5), dw2 = dw;
    bf16.MatMul(x, w, y, Store::kSet);
    oracle().MatMul(x, w, y2, Store::kSet);
    ExpectClose(y.span(), y2.span(), 1.0f / 128, "y " + what);
    bf16.MatMulInputGradient(dy, w, dx, Store::kAdd);
    oracle().MatMulInputGradient(dy, w, dx2, Store::kAdd);
    ExpectClose(dx.span(), dx2.span(), 1.0f / 128, "dx " + what);
    bf16.MatMulWeightGradient(dy, x, dw);
    oracle().MatMulWeightGradient(dy, x, dw2);
    ExpectClose(dw.span(), dw2.span(), 1.0f / 128, "dw " + what);
  }
}

// A loss that is no number must not become one on its way through tiles.
TEST_P(KernelsTest, Bf16GradientsKeepWhatIsNoNumber) {
  if (!HasBf16(GetParam())) GTEST_SKIP() << GetParam() << " has no BF16";
  const Kernels& bf16 = ChooseKernels(GetParam(), Activations::kBf16);
  Matrix dy = RandomMatrix(40, 50, 1), dx(40, 60), dw(50, 60);
  dy[7][3] = std::nanf("");
  bf16.MatMulInputGradient(dy, RandomWeight(Type::kF32, 50, 60), dx, Store::kSet);
  bf16.MatMulWeightGradient(dy, RandomMatrix(40, 60, 2), dw);
  EXPECT_TRUE(std::isnan(dx[7][0]));
  EXPECT_FALSE(std::isnan(dx[8][0]));
  EXPECT_TRUE(std::isnan(dw[3][0]));
  EXPECT_FALSE(std::isnan(dw[4][0]));
}

TEST_P(KernelsTest, MatrixProducts) {
  for (const auto& [n, out, in] : kShapes) {
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
      for (const Store store : {Store::kSet, Store::kAdd}) {
        const std::string what = fmt::format("{}x{}x{} {}", n, out, in, Traits(type).name);
        const Tensor w = RandomWeight(type, out, in);
        const Matrix x = RandomMatrix(n, in, 1), dy = RandomMatrix(n, out, 2);
        Matrix y = RandomMatrix(n, out, 3), y2 = y, dx = RandomMatrix(n, in, 4), dx2 = dx;
        kernels().MatMul(x, w, y, store);
        oracle().MatMul(x, w, y2, store);
        ExpectClose(y.span(), y2.span(), 1e-5f, "y " + what);
        kernels().MatMulInputGradient(dy, w, dx, store);
        oracle().MatMulInputGradient(dy, w, dx2, store);
        ExpectClose(dx.span(), dx2.span(), 1e-5f, "dx " + what);
      }
    }
    const Matrix x = RandomMatrix(n, in, 1), dy = RandomMatrix(n, out, 2);
    Matrix dw = RandomMatrix(out, in, 5), dw2 = dw;
    kernels().MatMulWeightGradient(dy, x, dw);
    oracle().MatMulWeightGradient(dy, x, dw2);
    ExpectClose(dw.span(), dw2.span(), 1e-5f, "dw");
  }
}

// Rows of views lie apart, and the memory between them must stay as it is.
TEST_P(KernelsTest, MatrixProductRespectsStrides) {
  const Tensor w = RandomWeight(Type::kF32, 40, 24);
  Matrix x = RandomMatrix(30, 50, 1), y = RandomMatrix(30, 90, 2), y2 = y;
  kernels().MatMul(Rows(x).Columns(3, 24), w, Rows(y).Columns(5, 40), Store::kSet);
  oracle().MatMul(Rows(x).Columns(3, 24), w, Rows(y2).Columns(5, 40), Store::kSet);
  ExpectClose(y.span(), y2.span(), 1e-5f, "strided");
}

TEST_P(KernelsTest, RowOperations) {
  for (const std::int64_t cols : {1, 6, 16, 37, 256, 300}) {
    const std::int64_t rows = 45;
    const Matrix x = RandomMatrix(rows, cols, 1), up = RandomMatrix(rows, cols, 2),
                 dy = RandomMatrix(rows, cols, 3);
    const Matrix weight = RandomMatrix(1, cols, 4);
    Matrix a = RandomMatrix(rows, cols, 5), b = a, c(rows, cols), d(rows, cols),
           dw = RandomMatrix(1, cols, 6), dw2 = dw;
    kernels().RmsNorm(x, weight.span(), 1e-5f, c);
    oracle().RmsNorm(x, weight.span(), 1e-5f, d);
    ExpectClose(c.span(), d.span(), 1e-5f, "norm");
    kernels().RmsNormBackward(x, weight.span(), 1e-5f, dy, a, dw.span());
    oracle().RmsNormBackward(x, weight.span(), 1e-5f, dy, b, dw2.span());
    ExpectClose(a.span(), b.span(), 1e-5f, "norm dx");
    ExpectClose(dw.span(), dw2.span(), 1e-5f, "norm dweight");
    kernels().SwiGlu(x, up, c);
    oracle().SwiGlu(x, up, d);
    ExpectClose(c.span(), d.span(), 1e-5f, "swiglu");
    Matrix dup(rows, cols), dup2(rows, cols);
    kernels().SwiGluBackward(x, up, dy, c, dup);
    oracle().SwiGluBackward(x, up, dy, d, dup2);
    ExpectClose(c.span(), d.span(), 1e-5f, "swiglu dgate");
    ExpectClose(dup.span(), dup2.span(), 1e-5f, "swiglu dup");
    kernels().Add(x, a);
    oracle().Add(x, b);
    ExpectClose(a.span(), b.span(), 1e-5f, "add");
    kernels().Scale(0.3f, a.span());
    oracle().Scale(0.3f, b.span());
    ExpectClose(a.span(), b.span(), 1e-5f, "scale");
    EXPECT_NEAR(kernels().SumOfSquares(x.span()), oracle().SumOfSquares(x.span()),
                1e-5 * static_cast<double>(rows * cols));
    if (cols % 2 == 0) {
      const Matrix cos = RandomMatrix(rows, cols / 2, 7), sin = RandomMatrix(rows, cols / 2, 8);
      for (const RopePairing pairing : {RopePairing::kNeighbours, RopePairing::kHalves}) {
        for (const bool inverse : {false, true}) {
          kernels().Rope(a, cols, pairing, cos, sin, inverse);
          oracle().Rope(b, cols, pairing, cos, sin, inverse);
          ExpectClose(a.span(), b.span(), 1e-5f, "rope");
        }
      }
    }
  }
}

// Pairs are whole vectors, a part of one, and both.
TEST_P(KernelsTest, RopeTurnsEveryHeadByTheAnglesOfItsRow) {
  for (const std::int64_t head_dim : {2, 10, 32, 48, 64, 86, 128}) {
    for (const std::int64_t heads : {1, 3}) {
      const std::int64_t rows = 35;
      const Matrix cos = RandomMatrix(rows, head_dim / 2, 1), sin = RandomMatrix(rows, head_dim / 2, 2);
      for (const RopePairing pairing : {RopePairing::kNeighbours, RopePairing::kHalves}) {
        for (const bool inverse : {false, true}) {
          // Columns beside the heads must stay as they are.
          Matrix a = RandomMatrix(rows, heads * head_dim + 5, 3), b = a;
          kernels().Rope(Rows(a).Columns(2, heads * head_dim), head_dim, pairing, cos, sin, inverse);
          oracle().Rope(Rows(b).Columns(2, heads * head_dim), head_dim, pairing, cos, sin, inverse);
          ExpectClose(a.span(), b.span(), 1e-5f, "rope");
        }
      }
    }
  }
}

TEST_P(KernelsTest, CrossEntropy) {
  for (const std::int64_t cols : {2, 100, 4096}) {
    Matrix logits = RandomMatrix(19, cols, 1);
    for (float& x : logits.span()) x = 6 * x + 300;  // far from zero: the maximum must be taken out first
    std::vector<std::int32_t> targets;
    for (std::int32_t i = 0; i < 19; ++i)
      targets.push_back(i % 5 == 4 ? -1 : i % static_cast<std::int32_t>(cols));
    Matrix copy = logits;
    std::vector<double> a(19), b(19), c(19);
    kernels().CrossEntropy(logits, targets, a);
    kernels().CrossEntropyBackward(logits, targets, 0.25f, b);
    oracle().CrossEntropyBackward(copy, targets, 0.25f, c);
    for (std::size_t i = 0; i < 19; ++i) {
      EXPECT_NEAR(a[i], c[i], 1e-5 * (1 + std::abs(c[i])));
      EXPECT_NEAR(b[i], c[i], 1e-5 * (1 + std::abs(c[i])));
    }
    ExpectClose(logits.span(), copy.span(), 1e-4f, "gradient");
  }
}

TEST_P(KernelsTest, AdamW) {
  const AdamWStep step{1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 1 - 0.9f, 1 - 0.95f};
  const Matrix g = RandomMatrix(1, 1003, 1);
  Matrix m = RandomMatrix(1, 1003, 2), v(1, 1003), p = RandomMatrix(1, 1003, 4);
  for (float& x : v.span()) x = 0.5f;
  Matrix m2 = m, v2 = v, p2 = p;
  kernels().AdamW(step, g.span(), m.span(), v.span(), p.span());
  oracle().AdamW(step, g.span(), m2.span(), v2.span(), p2.span());
  ExpectClose(p.span(), p2.span(), 1e-5f, "parameter");
  ExpectClose(m.span(), m2.span(), 1e-5f, "m");
  ExpectClose(v.span(), v2.span(), 1e-5f, "v");
}

TEST_P(KernelsTest, ThreadsDoNotChangeResults) {
  const Tensor w = RandomWeight(Type::kF32, 300, 500);
  const Matrix x = RandomMatrix(1500, 500, 1), dy = RandomMatrix(1500, 300, 2);
  std::vector<float> first;
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    Matrix y(1500, 300), dw(300, 500);
    kernels().MatMul(x, w, y, Store::kSet);
    kernels().MatMulWeightGradient(dy, x, dw);
    std::vector<float> all(y.span().begin(), y.span().end());
    all.insert(all.end(), dw.span().begin(), dw.span().end());
    all.push_back(static_cast<float>(kernels().SumOfSquares(x.span())));
    if (threads == 1) first = all;
    EXPECT_EQ(all, first) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
