// Attention on codes: against the reference, which attends to the same pages as floats.
#include "kernels/int8/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/parallel.h"
#include "kernels/sparse_prefill.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/pages.h"

namespace longspan {
namespace {

using oracle::Attend;
using oracle::Documents;
using oracle::ExpectClose;
using oracle::PagedCase;
using oracle::PagedInput;
using oracle::PagedResult;
using oracle::ShapeOf;

class Int8AttentionTest : public testing::TestWithParam<Type> {
 protected:
  void SetUp() override {
    if (Int8AttentionFor("avx512") == nullptr) GTEST_SKIP() << "this machine has no VNNI";
  }
  const Kernels& kernels() const { return ChooseKernels("avx512", Activations::kInt8); }
};

// Queries that become whole numbers when they are rotated, the largest of them 127: rounding them loses
// nothing.
Matrix WholeQueries(const PagedCase& c) {
  Matrix q = oracle::RandomMatrix(c.n, c.shape.heads * c.shape.head_dim, 1);
  for (std::int64_t i = 0; i < c.n; ++i) {
    for (std::int64_t h = 0; h < c.shape.heads; ++h) {
      const std::span<float> row = Rows(q).Columns(h * c.shape.head_dim, c.shape.head_dim)[i];
      for (float& x : row) x = std::round(std::clamp(30 * x, -126.0f, 126.0f));
      row[static_cast<std::size_t>(h) % row.size()] = 127;
      HadamardTransform(row);
      for (float& x : row) x /= 30;
    }
  }
  return q;
}

void ExpectLikeReference(const Kernels& kernels, const PagedCase& c,
                         std::span<const std::int32_t> documents = {}) {
  const PagedInput input(c);
  const auto expect = [&](const Matrix& q, float tolerance) {
    const PagedResult got = Attend(kernels, c, q, input.pages.view(), documents);
    const PagedResult want = Attend(ReferenceKernels(), c, q, input.pages.view(), documents);
    ExpectClose(got.out.span(), want.out.span(), tolerance, "out " + c.what());
    ExpectClose(got.log_sum_exp.span(), want.log_sum_exp.span(), tolerance, "lse " + c.what());
  };
  expect(WholeQueries(c), 3e-4f);  // what the 16 bits of the weights lose
  expect(input.q, 0.03f);          // and the 8 bits of the queries
}

// Around pages and pieces, groups of 1, 2, 3, 4, 5, 8 and 16 heads, every size of head.
TEST_P(Int8AttentionTest, IsTheReferences) {
  for (const AttentionShape& shape :
       {ShapeOf(2, 2, 128), ShapeOf(4, 2, 64), ShapeOf(6, 2, 64), ShapeOf(8, 2, 128), ShapeOf(5, 1, 64),
        ShapeOf(16, 2, 128), ShapeOf(16, 1, 256)}) {
    for (const auto& [before, n] : {std::pair<std::int64_t, std::int64_t>{0, 1},
                                    {14, 1},
                                    {15, 1},
                                    {63, 1},
                                    {64, 1},
                                    {63, 2},
                                    {130, 3},
                                    {511, 1},
                                    {512, 1},
                                    {1100, 2},
                                    {100, 37},
                                    {0, 65},
                                    {130, 200}}) {
      const PagedCase c{shape, GetParam(), before, n};
      ExpectLikeReference(kernels(), c);
    }
  }
}

TEST_P(Int8AttentionTest, SeesWindowsAndDocuments) {
  for (const auto& [before, n] : {std::pair<std::int64_t, std::int64_t>{700, 1}, {1100, 3}, {600, 40}}) {
    ExpectLikeReference(kernels(), {ShapeOf(4, 2, 64), GetParam(), before, n}, Documents(before + n));
    for (const std::int64_t window : {1, 63, 64, 65, 512, 513, 5000}) {
      AttentionShape shape = ShapeOf(4, 2, 64);
      shape.window = window;
      ExpectLikeReference(kernels(), {shape, GetParam(), before, n});
    }
  }
}

// What it cannot do, floats do.
TEST_P(Int8AttentionTest, LeavesOtherShapesToFloats) {
  const Int8Attention& attention = *Int8AttentionFor("avx512");
  for (const auto& [shape, n, supported] : {std::tuple{ShapeOf(4, 2, 64), 1, true},
                                            {ShapeOf(4, 2, 32), 1, false},
                                            {ShapeOf(4, 2, 512), 1, false},
                                            {ShapeOf(4, 2, 32), 40, false},
                                            {ShapeOf(4, 2, 64), 40, true}}) {
    const PagedCase c{shape, GetParam(), 80, n};
    const PagedInput input(c);
    PagedResult r{Matrix(n, shape.heads * shape.head_dim), Matrix(shape.heads, n)};
    EXPECT_EQ(attention.supports(shape, {{input.q, input.pages.view(), 80}, r.out, r.log_sum_exp}),
              supported);
    if (!supported) {
      const PagedResult got = Attend(kernels(), c, input.q, input.pages.view());
      const PagedResult want = Attend(ReferenceKernels(), c, input.q, input.pages.view());
      ExpectClose(got.out.span(), want.out.span(), 2e-5f, c.what());
    }
  }
}

// Threads share work by heads, and other sequences stand beside it: neither may show.
TEST_P(Int8AttentionTest, ThreadsAndBatchesDoNotChangeResults) {
  const PagedCase c{ShapeOf(8, 4, 64), GetParam(), 1200, 1}, other{ShapeOf(8, 4, 64), GetParam(), 70, 2};
  const PagedInput input(c), beside(other, 7);
  SetThreads(1);
  const PagedResult want = Attend(kernels(), c, input.q, input.pages.view());
  for (int threads = 1; threads <= 8; ++threads) {
    SetThreads(threads);
    PagedResult first{Matrix(1, 512), Matrix(8, 1)}, second{Matrix(2, 512), Matrix(8, 2)};
    const AttentionSequence sequences[] = {
        {{beside.q, beside.pages.view(), other.before}, second.out, second.log_sum_exp},
        {{input.q, input.pages.view(), c.before}, first.out, first.log_sum_exp}};
    kernels().Attention(c.shape, sequences);
    EXPECT_TRUE(std::ranges::equal(first.out.span(), want.out.span())) << threads << " threads";
  }
}

// One key far ahead of the rest, and rows of zeros.
TEST_P(Int8AttentionTest, SharpAndEmptyRows) {
  const PagedCase c{ShapeOf(4, 2, 64), GetParam(), 300, 1};
  PagedInput input(c);
  Matrix k = input.k, v = input.v, q = input.q;
  for (std::int64_t j = 0; j < k.cols(); ++j) {
    Rows(k).at(77, j) *= 40;
    Rows(k).at(5, j) = Rows(v).at(6, j) = 0;
  }
  const oracle::Pages pages(ReferenceKernels(), {c.type, 2, 64}, k, v);
  const auto expect = [&](const Matrix& query, float tolerance) {
    const PagedResult got = Attend(kernels(), c, query, pages.view());
    const PagedResult want = Attend(ReferenceKernels(), c, query, pages.view());
    ExpectClose(got.out.span(), want.out.span(), tolerance, c.what());
  };
  expect(WholeQueries(c), 3e-4f);
  for (const float x : {0.0f, 1e-40f, -1e-37f}) {
    std::ranges::fill(q.span(), x);
    expect(q, 3e-4f);
  }
}

TEST_P(Int8AttentionTest, WhatIsNoNumberShows) {
  for (const std::int64_t n : {1, 40}) {
    const PagedCase c{ShapeOf(4, 2, 64), GetParam(), 100, n};
    PagedInput input(c);
    for (const float x : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Rows(input.q).at(0, 64) = x;  // of the second head
      const PagedResult got = Attend(kernels(), c, input.q, input.pages.view());
      EXPECT_TRUE(std::isnan(got.out.span()[64]));
      EXPECT_FALSE(std::isnan(got.out.span()[0]));
    }
  }
}

// Blocks that are left out are left out here, too.
TEST_P(Int8AttentionTest, AttendsToChosenBlocks) {
  const PagedCase c{ShapeOf(4, 2, 64), GetParam(), 600, 128};
  const PagedInput input(c);
  const Matrix q = WholeQueries(c);
  PagedResult got{Matrix(c.n, 256), Matrix(4, c.n)}, want = got;
  const auto attend = [&](const Kernels& kernels, PagedResult& r) {
    AttentionSequence s{{q, input.pages.view(), c.before}, r.out, r.log_sum_exp};
    const auto blocks = ChooseKeyBlocks(ReferenceKernels(), c.shape, s, {.threshold = 0.3f, .from = 0});
    ASSERT_TRUE(blocks.has_value());
    s.blocks = &*blocks;
    kernels.Attention(c.shape, {&s, 1});
  };
  attend(kernels(), got);
  attend(ReferenceKernels(), want);
  ExpectClose(got.out.span(), want.out.span(), 3e-4f, c.what());
}

INSTANTIATE_TEST_SUITE_P(Types, Int8AttentionTest, testing::Values(Type::kQ8_0, Type::kQ4_0),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

}  // namespace
}  // namespace longspan
