// What kernels that multiply pairs of BF16 take themselves, and what they leave to the kernels over vectors.
#include "kernels/bf16/bf16_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "kernels/bf16/tiles.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/pages.h"
#include "kernels/testing/random_blocks.h"
#include "kernels/vector/vector_kernels.h"

namespace longspan::bf16 {
namespace {

using oracle::ExpectClose;
using oracle::PagedCase;
using oracle::PagedInput;
using oracle::RandomMatrix;

class PairKernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!VectorsSupported()) GTEST_SKIP() << "this machine has no AVX-512 with BF16";
    const auto all = SupportedVectorKernels();
    const auto avx512 = std::ranges::find(all, "avx512", &VectorKernels::isa);
    ASSERT_NE(avx512, all.end());
    vectors_ = *avx512;
  }
  const Kernels& rounding() const { return *vectors_.rounding; }
  const Kernels& pairs() const { return *PairKernels(*vectors_.rounding); }
  const Kernels& training() const { return *TrainingPairKernels(*vectors_.exact); }

  static bool Same(const Matrix& a, const Matrix& b) {
    return std::memcmp(a.data(), b.data(), a.span().size_bytes()) == 0;
  }

 private:
  VectorKernels vectors_;
};

TEST_F(PairKernelsTest, ProductsWithQuantisedWeightsStayOnBytes) {
  const Matrix x = RandomMatrix(70, 256, 1);
  Matrix y(70, 96), want(70, 96);
  const Tensor codes = RandomBlocks(Type::kQ4_K, 96, 256, 7);
  pairs().MatMul(x, codes, y, Store::kSet);
  rounding().MatMul(x, codes, want, Store::kSet);
  EXPECT_TRUE(Same(y, want));

  const Tensor floats = Tensor::FromRows(RandomMatrix(96, 256, 2));
  pairs().MatMul(x, floats, y, Store::kSet);
  ReferenceKernels().MatMul(x, floats, want, Store::kSet);
  EXPECT_FALSE(Same(y, want)) << "not rounded";
  ExpectClose(y.span(), want.span(), 1.0f / 128, "floats");
}

TEST_F(PairKernelsTest, GradientsAreRoundedInTrainingAlone) {
  const Matrix x = RandomMatrix(40, 60, 1), dy = RandomMatrix(40, 50, 2);
  const Tensor w = Tensor::FromRows(RandomMatrix(50, 60, 3));
  Matrix dx(40, 60), exact(40, 60), want(40, 60), dw(50, 60), want_dw(50, 60);
  ReferenceKernels().MatMulInputGradient(dy, w, want, Store::kSet);
  ReferenceKernels().MatMulWeightGradient(dy, x, want_dw);
  training().MatMulInputGradient(dy, w, dx, Store::kSet);
  training().MatMulWeightGradient(dy, x, dw);
  pairs().MatMulInputGradient(dy, w, exact, Store::kSet);
  ExpectClose(dx.span(), want.span(), 1.0f / 128, "dx");
  ExpectClose(dw.span(), want_dw.span(), 1.0f / 128, "dw");
  ExpectClose(exact.span(), want.span(), 1e-5f, "dx, exact");
  EXPECT_FALSE(Same(dx, exact)) << "not rounded";
}

TEST_F(PairKernelsTest, AttentionOverCodesStaysOnBytes) {
  for (const Type type : {Type::kQ8_0, Type::kF32, Type::kF16, Type::kBF16}) {
    const PagedCase c{oracle::ShapeOf(4, 2, 32), type, 70, 80};
    const PagedInput input(c);
    const auto attend = [&](const Kernels& kernels) {
      return oracle::Attend(kernels, c, input.q, input.pages.view()).out;
    };
    const Matrix out = attend(pairs());
    ExpectClose(out.span(), attend(ReferenceKernels()).span(), 1.0f / 64, c.what());
    EXPECT_EQ(Same(out, attend(rounding())), type == Type::kQ8_0 || type == Type::kF32) << c.what();
  }
}

}  // namespace
}  // namespace longspan::bf16
