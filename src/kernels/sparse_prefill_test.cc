// Attention to chosen KV blocks, the estimate that they are chosen by, and the choice itself.
#include "kernels/sparse_prefill.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <limits>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"

namespace longspan {
namespace {

using oracle::ExpectClose;
using oracle::RandomMatrix;

// The last n of before + n random tokens are queries; keys and values lie in pages.
struct Case {
  std::int64_t heads, kv_heads, head_dim;
  Type type;
  std::int64_t before, n;
  std::int64_t window = AttentionShape::kNoWindow;

  AttentionShape shape() const {
    return {heads, kv_heads, head_dim, 1 / std::sqrt(static_cast<float>(head_dim)), window};
  }
  std::string what() const {
    return fmt::format("{} heads {}/{} dim {} window {}: {} after {}", Traits(type).name, heads, kv_heads,
                       head_dim, window, n, before);
  }
};
const Case kCases[] = {
    {4, 2, 32, Type::kF32, 0, 1},          {4, 2, 32, Type::kF32, 700, 1},
    {4, 2, 32, Type::kF16, 300, 64},       {4, 2, 32, Type::kBF16, 37, 200},
    {3, 1, 64, Type::kQ8_0, 500, 100},     {8, 2, 32, Type::kQ4_0, 640, 130},
    {5, 5, 20, Type::kF32, 129, 70},       {2, 1, 128, Type::kBF16, 63, 65},
    {4, 2, 32, Type::kF32, 600, 130, 200}, {4, 2, 32, Type::kF32, 600, 130, 65},
};

struct Input {
  explicit Input(const Case& c)
      : layout{c.type, c.kv_heads, c.head_dim},
        q(RandomMatrix(c.n, c.heads * c.head_dim, 1)),
        k(RandomMatrix(c.before + c.n, c.kv_heads * c.head_dim, 2)),
        v(RandomMatrix(c.before + c.n, c.kv_heads * c.head_dim, 3)) {
    Store();
  }
  // Memory that no token was written to is NaN, if the type has NaNs.
  void Store() {
    storage.clear();
    pages.clear();
    for (std::int64_t p = 0; p * kKvBlock < k.rows(); ++p) {
      storage.emplace_back(static_cast<std::size_t>(layout.PageBytes()), std::byte{0xff});
      pages.push_back(storage.back().data());
    }
    ReferenceKernels().StoreKv(layout, k, v, 0, pages);
  }
  AttentionInput Of(const Case& c) const { return {q, KvView::OfPages(layout, pages, k.rows()), c.before}; }

  KvLayout layout;
  Matrix q, k, v;
  std::deque<AlignedVector<std::byte>> storage;
  std::vector<std::byte*> pages;
};

// Each query's own block, and others at random.
KeyBlocks RandomBlocks(const Case& c, const AttentionInput& s) {
  KeyBlocks blocks(c.heads, c.n, s.kv.blocks());
  Random random(5, 0, RandomPurpose::kTest);
  for (std::int64_t h = 0; h < c.heads; ++h) {
    for (std::int64_t i = 0; i < blocks.query_blocks(); ++i) {
      for (std::uint8_t& x : blocks.Row(h, i)) x = random.Below(3) == 0 ? 1 : 0;
    }
    for (std::int64_t i = 0; i < c.n; ++i)
      blocks.Row(h, i / KeyBlocks::kQueries)[(c.before + i) / kKvBlock] = 1;
  }
  return blocks;
}

class SparsePrefillTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
};

TEST_P(SparsePrefillTest, AttendsToChosenBlocksAlone) {
  for (const Case& c : kCases) {
    const Input input(c);
    const KeyBlocks blocks = RandomBlocks(c, input.Of(c));
    const auto attend = [&](const Kernels& kernels, const KeyBlocks* chosen) {
      std::pair<Matrix, Matrix> r{Matrix(c.n, c.heads * c.head_dim), Matrix(c.heads, c.n)};
      const AttentionSequence sequence{input.Of(c), r.first, r.second, chosen};
      kernels.Attention(c.shape(), {&sequence, 1});
      return r;
    };
    const auto got = attend(kernels(), &blocks), want = attend(ReferenceKernels(), &blocks);
    ExpectClose(got.first.span(), want.first.span(), 2e-5f, "out " + c.what());
    ExpectClose(got.second.span(), want.second.span(), 2e-5f, "lse " + c.what());
    if (c.before + c.n < 200 || c.window < 200) continue;
    const auto dense = attend(ReferenceKernels(), nullptr);
    EXPECT_FALSE(std::ranges::equal(dense.first.span(), want.first.span())) << c.what();
  }
}

TEST_P(SparsePrefillTest, EstimatesAsTheReferenceDoes) {
  for (const Case& c : kCases) {
    const Input input(c);
    const AttentionInput s = input.Of(c);
    Matrix got(c.heads * KeyBlocks::QueryBlocks(c.n), s.kv.blocks()), want(got.rows(), got.cols());
    std::ranges::fill(got.span(), -1.0f);
    kernels().KeyBlockMass(c.shape(), s, got);
    ReferenceKernels().KeyBlockMass(c.shape(), s, want);
    ExpectClose(got.span(), want.span(), 2e-5f, c.what());
    for (std::int64_t i = 0; i < got.rows(); ++i) {
      double sum = 0;
      for (const float x : got[i]) sum += x;
      EXPECT_NEAR(sum, 1, 1e-5) << c.what();
    }
  }
}

// Keys of one block that look like the queries of one head: that head finds the block, the others do not need
// it.
TEST_P(SparsePrefillTest, FindsTheBlockThatAHeadLooksFor) {
  const Case c{2, 2, 64, Type::kBF16, 64 * 40, 128};
  Input input(c);
  for (float& x : input.q.span()) x *= 0.1f;
  for (float& x : input.k.span()) x *= 0.1f;
  for (std::int64_t i = 0; i < c.n; ++i) Rows(input.q).at(i, 64 + 7) = 20;
  for (std::int64_t i = 64 * 17; i < 64 * 18; ++i) Rows(input.k).at(i, 64 + 7) = 4;
  input.Store();
  const auto blocks = ChooseKeyBlocks(kernels(), c.shape(), input.Of(c), {.threshold = 0.9f, .from = 0});
  ASSERT_TRUE(blocks);
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto row = blocks->Row(1, i);
    EXPECT_EQ(std::ranges::count(row, 1), 1 + 1 + 4 + 1) << "first, found, local, own";
    EXPECT_EQ(row[0] + row[17] + row[40 + i], 3);
    // The other head's attention is flat, and nine tenths of it take nine tenths of the blocks.
    EXPECT_NEAR(std::ranges::count(blocks->Row(0, i), 1), 0.9 * 41, 3);
  }
}

TEST_P(SparsePrefillTest, ThreadsDoNotChangeTheChoice) {
  const Case c{4, 2, 32, Type::kF16, 1000, 150};
  const Input input(c);
  std::vector<std::vector<std::uint8_t>> first;
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    SparseTally tally;
    const auto blocks =
        ChooseKeyBlocks(kernels(), c.shape(), input.Of(c), {.threshold = 0.5f, .from = 0}, &tally);
    std::vector<std::vector<std::uint8_t>> rows;
    std::int64_t chosen = 0;
    for (std::int64_t h = 0; h < c.heads; ++h) {
      for (std::int64_t i = 0; i < blocks->query_blocks(); ++i) {
        rows.emplace_back(blocks->Row(h, i).begin(), blocks->Row(h, i).end());
        chosen += std::ranges::count(rows.back(), 1);
      }
    }
    EXPECT_EQ(tally.chosen, chosen);
    EXPECT_GT(tally.seen, chosen);
    if (threads == 1) first = rows;
    EXPECT_EQ(rows, first) << threads << " threads";
  }
}

// 300 queries at once, and the same in calls of 128, 128 and 44: each block of queries chooses alike, except
// those of the last call, which is too short to choose.
TEST_P(SparsePrefillTest, CallsOfWholeBlocksChooseAlike) {
  const Case c{4, 2, 32, Type::kF16, 900, 300};
  const Input input(c);
  const SparsePrefill sparse{.threshold = 0.5f, .from = 0};
  const auto whole = ChooseKeyBlocks(kernels(), c.shape(), input.Of(c), sparse);
  for (const std::int64_t first : {0, 128, 256}) {
    const std::int64_t n = std::min<std::int64_t>(128, c.n - first);
    const AttentionInput part{ConstRows(input.q).Slice(first, n),
                              KvView::OfPages(input.layout, input.pages, c.before + first + n),
                              c.before + first};
    const auto blocks = ChooseKeyBlocks(kernels(), c.shape(), part, sparse);
    ASSERT_EQ(blocks.has_value(), n >= 64);
    if (!blocks) continue;
    for (std::int64_t h = 0; h < c.heads; ++h) {
      for (std::int64_t i = 0; i < blocks->query_blocks(); ++i) {
        const auto row = blocks->Row(h, i), all = whole->Row(h, first / 64 + i);
        EXPECT_TRUE(std::ranges::equal(row, all.first(row.size()))) << first << " " << h << " " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SparsePrefillTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

TEST(ChooseKeyBlocksTest, BeginsAtTheDepthAskedFor) {
  const Case c{2, 1, 32, Type::kF32, 1000, 200};
  const Input input(c);
  const auto choose = [&](std::int64_t from) {
    return ChooseKeyBlocks(ReferenceKernels(), c.shape(), input.Of(c), {.threshold = 0.3f, .from = from});
  };
  EXPECT_FALSE(choose(1193));  // the last block of queries begins at 1,192
  const auto blocks = choose(1100);
  ASSERT_TRUE(blocks);
  for (std::int64_t i = 0; i < 4; ++i) {
    const bool all = std::ranges::count(blocks->Row(0, i), 1) == blocks->kv_blocks();
    EXPECT_EQ(all, 1000 + 64 * i < 1100) << i;
  }
}

std::vector<std::uint8_t> Choose(std::vector<float> mass, std::int64_t first, std::int64_t own,
                                 const SparsePrefill& sparse) {
  std::vector<std::uint8_t> chosen(mass.size());
  const std::int64_t taken = ChooseBlocks(mass, first, own, std::ssize(mass) - 1, sparse, chosen);
  EXPECT_EQ(taken, std::ranges::count(chosen, 1));
  return chosen;
}

// First and local blocks hold 0.5; of the rest, the largest are taken until the threshold is reached.
TEST(ChooseBlocksTest, TakesTheLargestUntilTheThreshold) {
  const std::vector<float> mass{0.1f, 0.05f, 0.3f, 0.0f, 0.05f, 0.1f, 0.1f, 0.1f, 0.1f, 0.05f, 0.05f};
  const auto with = [&](float threshold, std::int64_t budget = 0) {
    return Choose(mass, 0, 9, {.threshold = threshold, .budget = budget});
  };
  EXPECT_EQ(with(0.4f), (std::vector<std::uint8_t>{1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(with(0.79f), (std::vector<std::uint8_t>{1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(with(0.93f), (std::vector<std::uint8_t>{1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1}));  // later of equals
  EXPECT_EQ(with(0.93f, 8 * 64), with(0.79f));
  EXPECT_EQ(with(0.93f, 64), with(0.4f));  // first and local blocks are taken whatever the budget
}

TEST(ChooseBlocksTest, WhatIsNoNumberCountsAsNothing) {
  std::vector<float> mass, zeros;
  for (int b = 0; b < 2000; ++b) {
    const float x = static_cast<float>(b * 7919 % 2000) / 2e6f;
    mass.push_back(b % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : x);
    zeros.push_back(b % 3 == 0 ? 0 : x);
  }
  EXPECT_EQ(Choose(mass, 0, 1999, {.threshold = 0.5f}), Choose(zeros, 0, 1999, {.threshold = 0.5f}));
}

TEST(ChooseBlocksTest, StaysWithinTheWindow) {
  const std::vector<float> mass(20, 0.05f);
  const auto chosen = Choose(mass, 12, 19, {.threshold = 0.1f});
  for (std::size_t b = 0; b < 20; ++b) EXPECT_EQ(chosen[b], b >= 15) << b;
  EXPECT_EQ(std::ranges::count(Choose(mass, 18, 19, {.threshold = 0.1f}), 1), 2);
}

}  // namespace
}  // namespace longspan
