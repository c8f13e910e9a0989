// Attention over rows and over pages of every type, and StoreKv: every implementation on this machine against
// the reference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <limits>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/pages.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

using oracle::Attend;
using oracle::Documents;
using oracle::ExpectClose;
using oracle::PagedCase;
using oracle::PagedInput;
using oracle::PagedResult;
using oracle::Pages;
using oracle::RandomMatrix;
using oracle::ShapeOf;

constexpr Type kTypes[] = {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kQ4_0};

class AttentionTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }
  const Kernels& oracle() const { return ReferenceKernels(); }
};

struct AttentionCase {
  std::int64_t n, heads, kv_heads, head_dim;
  bool documents;
  std::int64_t window = AttentionShape::kNoWindow;
};
constexpr AttentionCase kAttention[] = {
    {1, 4, 2, 64, false},      {5, 8, 4, 8, false},         {63, 4, 4, 32, false},
    {64, 4, 1, 64, false},     {65, 6, 2, 48, false},       {200, 4, 2, 16, false},
    {150, 4, 2, 32, true},     {33, 2, 1, 20, true},        {200, 4, 2, 16, false, 1},
    {200, 4, 2, 16, false, 7}, {200, 4, 2, 16, false, 64},  {200, 2, 1, 20, true, 65},
    {150, 4, 2, 32, true, 9},  {150, 4, 2, 32, false, 149}, {150, 4, 2, 32, false, 1000}};

TEST_P(AttentionTest, AttentionAndItsBackward) {
  for (const AttentionCase& c : kAttention) {
    const std::string what = fmt::format("n {} heads {}/{} dim {} documents {} window {}", c.n, c.heads,
                                         c.kv_heads, c.head_dim, c.documents, c.window);
    const AttentionShape shape{c.heads, c.kv_heads, c.head_dim,
                               1.0f / std::sqrt(static_cast<float>(c.head_dim)), c.window};
    const std::int64_t q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
    // Two sequences in one call: tasks must not mix them up.
    std::vector<Matrix> q, k, v, dout;
    for (std::uint64_t s = 0; s < 2; ++s) {
      q.push_back(RandomMatrix(c.n, q_dim, 10 + s));
      k.push_back(RandomMatrix(c.n, kv_dim, 20 + s));
      v.push_back(RandomMatrix(c.n, kv_dim, 30 + s));
      dout.push_back(RandomMatrix(c.n, q_dim, 40 + s));
    }
    const auto documents = c.documents ? Documents(c.n) : std::vector<std::int32_t>();
    struct Result {
      std::vector<Matrix> out, lse, dq, dk, dv;
    };
    const auto run = [&](const Kernels& kernels) {
      Result r;
      std::vector<AttentionSequence> forward;
      std::vector<AttentionBackwardSequence> backward;
      for (int s = 0; s < 2; ++s) {
        r.out.emplace_back(c.n, q_dim);
        r.lse.emplace_back(c.heads, c.n);
        r.dq.emplace_back(c.n, q_dim);
        r.dk.emplace_back(c.n, kv_dim);
        r.dv.emplace_back(c.n, kv_dim);
      }
      for (std::size_t s = 0; s < 2; ++s) {
        forward.push_back({{q[s], KvView::OfRows(k[s], v[s], c.head_dim), 0, documents}, r.out[s], r.lse[s]});
      }
      kernels.Attention(shape, forward);
      for (std::size_t s = 0; s < 2; ++s)
        backward.push_back({forward[s], r.out[s], r.lse[s], dout[s], r.dq[s], r.dk[s], r.dv[s]});
      kernels.AttentionBackward(shape, backward);
      return r;
    };
    const Result got = run(kernels()), want = run(oracle());
    for (std::size_t s = 0; s < 2; ++s) {
      ExpectClose(got.out[s].span(), want.out[s].span(), 2e-5f, "out " + what);
      ExpectClose(got.lse[s].span(), want.lse[s].span(), 2e-5f, "lse " + what);
      ExpectClose(got.dq[s].span(), want.dq[s].span(), 2e-5f, "dq " + what);
      ExpectClose(got.dk[s].span(), want.dk[s].span(), 2e-5f, "dk " + what);
      ExpectClose(got.dv[s].span(), want.dv[s].span(), 2e-5f, "dv " + what);
    }
  }
}

void ExpectSameAsOracle(const Kernels& kernels, const PagedCase& c,
                        std::span<const std::int32_t> documents = {}) {
  const PagedInput input(c);
  const PagedResult got = Attend(kernels, c, input.q, input.pages.view(), documents);
  const PagedResult want = Attend(ReferenceKernels(), c, input.q, input.pages.view(), documents);
  ExpectClose(got.out.span(), want.out.span(), 2e-5f, "out " + c.what());
  ExpectClose(got.log_sum_exp.span(), want.log_sum_exp.span(), 2e-5f, "lse " + c.what());
}

// Lengths around pages and around the pieces that decoding is cut into.
TEST_P(AttentionTest, PagesOfEveryTypeAndRaggedLengths) {
  for (const Type type : kTypes) {
    for (const auto& [before, n] : {std::pair<std::int64_t, std::int64_t>{0, 1},
                                    {1, 1},
                                    {64, 1},
                                    {63, 2},
                                    {100, 37},
                                    {130, 64},
                                    {0, 65},
                                    {511, 1},
                                    {512, 1},
                                    {1023, 2},
                                    {1024, 3}}) {
      ExpectSameAsOracle(kernels(), {ShapeOf(4, 2, 32), type, before, n});
    }
  }
}

TEST_P(AttentionTest, PagesWithOneTo40Queries) {
  for (const Type type : {Type::kF32, Type::kBF16, Type::kQ4_0}) {
    for (std::int64_t n = 1; n <= 40; ++n) ExpectSameAsOracle(kernels(), {ShapeOf(4, 1, 32), type, 50, n});
  }
}

// Groups of 1, 2, 3, 4, 5, 8 and 16 heads; heads that are not a multiple of a block or of a vector.
TEST_P(AttentionTest, PagesWithHeadsOfEveryShape) {
  for (const Type type : kTypes) {
    for (const AttentionShape& shape :
         {ShapeOf(2, 2, 128), ShapeOf(4, 2, 64), ShapeOf(6, 2, 32), ShapeOf(8, 2, 128), ShapeOf(5, 1, 64),
          ShapeOf(16, 2, 64), ShapeOf(16, 1, 256), ShapeOf(2, 1, 96), ShapeOf(4, 2, 160),
          ShapeOf(4, 2, 20)}) {
      const KvLayout layout{type, shape.kv_heads, shape.head_dim};
      if (layout.rotated() && (shape.head_dim & (shape.head_dim - 1)) != 0) continue;
      for (const std::int64_t n : {1, 3}) ExpectSameAsOracle(kernels(), {shape, type, 140, n});
    }
  }
}

TEST_P(AttentionTest, PagesWithDocuments) {
  for (const std::int64_t n : {1, 2, 40}) {
    const auto documents = Documents(700 + n);
    ExpectSameAsOracle(kernels(), {ShapeOf(4, 2, 32), Type::kBF16, 700, n}, documents);
  }
}

// Windows that end within and around pages and the pieces of decoding, or are longer than the sequence.
TEST_P(AttentionTest, PagesWithWindows) {
  for (const Type type : {Type::kF32, Type::kQ8_0}) {
    for (const auto& [before, n] :
         {std::pair<std::int64_t, std::int64_t>{700, 1}, {1100, 3}, {600, 40}, {0, 130}}) {
      for (const std::int64_t window : {1, 63, 64, 65, 512, 513, 5000}) {
        AttentionShape shape = ShapeOf(4, 2, 32);
        shape.window = window;
        ExpectSameAsOracle(kernels(), {shape, type, before, n});
        if (window == 65) ExpectSameAsOracle(kernels(), {shape, type, before, n}, Documents(before + n));
      }
    }
  }
}

// Pages of floats give what rows give, and pages of other types give about the same.
TEST_P(AttentionTest, PagesAgreeWithRows) {
  const std::pair<Type, float> kTolerance[] = {{Type::kF32, 2e-5f},
                                               {Type::kF16, 1e-3f},
                                               {Type::kBF16, 1e-2f},
                                               {Type::kQ8_0, 2e-2f},
                                               {Type::kQ4_0, 0.3f}};
  for (const auto& [type, tolerance] : kTolerance) {
    for (const std::int64_t n : {1, 50}) {
      const PagedCase c{ShapeOf(4, 2, 64), type, 100, n};
      const PagedInput input(c);
      const PagedResult want = Attend(oracle(), c, input.q, KvView::OfRows(input.k, input.v, 64));
      const PagedResult got = Attend(kernels(), c, input.q, input.pages.view());
      ExpectClose(got.out.span(), want.out.span(), tolerance, c.what());
    }
  }
}

// One call for sequences of all kinds gives each what a call of its own gives.
TEST_P(AttentionTest, SequencesOfACallDoNotMix) {
  const AttentionShape shape = ShapeOf(4, 2, 64);
  const std::vector<PagedCase> cases{{shape, Type::kQ8_0, 700, 1},
                                     {shape, Type::kQ8_0, 20, 70},
                                     {shape, Type::kQ8_0, 0, 1},
                                     {shape, Type::kQ8_0, 1300, 2},
                                     {shape, Type::kQ8_0, 5, 9}};
  std::deque<PagedInput> inputs;
  std::deque<Matrix> outs;
  std::vector<AttentionSequence> sequences;
  for (const PagedCase& c : cases) {
    const PagedInput& input = inputs.emplace_back(c, inputs.size());
    Matrix& out = outs.emplace_back(c.n, 256);
    sequences.push_back({{input.q, input.pages.view(), c.before}, out});
  }
  kernels().Attention(shape, sequences);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const PagedResult alone = Attend(kernels(), cases[i], inputs[i].q, inputs[i].pages.view());
    EXPECT_TRUE(std::ranges::equal(outs[i].span(), alone.out.span())) << i;
  }
}

TEST_P(AttentionTest, ThreadsDoNotChangeResults) {
  for (const std::int64_t n : {1, 70}) {
    const PagedCase c{ShapeOf(4, 2, 32), Type::kBF16, 1200, n};
    const PagedInput input(c);
    Matrix first;
    for (int threads = 1; threads <= 4; ++threads) {
      SetThreads(threads);
      const PagedResult r = Attend(kernels(), c, input.q, input.pages.view());
      if (threads == 1) first = r.out;
      EXPECT_TRUE(std::ranges::equal(r.out.span(), first.span())) << threads << " threads";
    }
  }
}

// Tokens with values that are hard to encode: zeros, values past F16, ties between the largest and the
// smallest.
Matrix AwkwardTokens(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Matrix m = RandomMatrix(rows, cols, stream);
  const auto fill = [&](std::int64_t row, auto&& f) {
    for (std::int64_t j = 0; j < cols; ++j) Rows(m).at(row, j) = f(j);
  };
  fill(1, [](std::int64_t) { return 0.0f; });
  fill(2, [](std::int64_t j) { return j % 2 == 0 ? 1.0f : -1.0f; });
  fill(3, [](std::int64_t j) { return j % 7 == 0 ? -3e7f : 1e5f; });
  fill(4, [](std::int64_t j) { return 1e-9f * static_cast<float>(j); });
  fill(5, [](std::int64_t j) { return j == 3 ? 1.0f : 0.0f; });
  return m;
}

TEST_P(AttentionTest, StoreKvWritesTheReferencesBytes) {
  for (const Type type : kTypes) {
    for (const std::int64_t head_dim : {32, 128, 20}) {
      const KvLayout layout{type, 3, head_dim};
      if (layout.rotated() && head_dim == 20) continue;
      const Matrix k = AwkwardTokens(150, 3 * head_dim, 1), v = AwkwardTokens(150, 3 * head_dim, 2);
      Pages got(oracle(), layout, k, v), want = Pages(oracle(), layout, k, v);
      // Stores more tokens across a border of pages. The rest must stay as it was.
      const Matrix k2 = AwkwardTokens(20, 3 * head_dim, 3), v2 = AwkwardTokens(20, 3 * head_dim, 4);
      kernels().StoreKv(layout, k2, v2, 50, got.pointers());
      oracle().StoreKv(layout, k2, v2, 50, want.pointers());
      EXPECT_TRUE(got.bytes() == want.bytes()) << Traits(type).name << " " << head_dim;
    }
  }
}

TEST_P(AttentionTest, StoreKvRoundsToNearest) {
  for (const auto& [type, steps] : {std::pair{Type::kF32, 1e9f},
                                    {Type::kF16, 2048.0f},
                                    {Type::kBF16, 256.0f},
                                    {Type::kQ8_0, 253.0f},
                                    {Type::kQ4_0, 7.9f}}) {
    const KvLayout layout{type, 2, 64};
    const Matrix k = RandomMatrix(70, 128, 1), v = RandomMatrix(70, 128, 2);
    const Pages pages(kernels(), layout, k, v);
    std::vector<float> got(64);
    for (const std::int64_t h : {0, 1}) {
      for (std::int64_t t = 0; t < 70; ++t) {
        const KvBlock block = pages.view().Block(h, t / kKvBlock);
        for (const bool keys : {true, false}) {
          const Matrix row_of = [&] {
            Matrix row(1, 64);
            const ConstRows from = keys ? ConstRows(k) : ConstRows(v);
            std::copy_n(&from.at(t, h * 64), 64, row.data());
            if (layout.rotated()) HadamardTransform(row.span());
            return row;
          }();
          DecodeRow(type, (keys ? block.k : block.v).row(t - block.first), got.data(), 64);
          for (std::size_t first = 0; first < 64; first += 32) {
            float largest = 0;
            for (std::size_t i = first; i < first + 32; ++i)
              largest = std::max(largest, std::abs(row_of.span()[i]));
            for (std::size_t i = first; i < first + 32; ++i) {
              ASSERT_LE(std::abs(got[i] - row_of.span()[i]), largest / steps * 1.01f)
                  << Traits(type).name << " " << t;
            }
          }
        }
      }
    }
  }
}

// Keys as Llamas have them: a few channels are many times larger than the rest. Q4_0 must lose less with the
// rotation than without it. Rotating everything once more outside gives a cache without the rotation, because
// H is its own inverse.
TEST_P(AttentionTest, RotationHelpsWhereChannelsStickOut) {
  const PagedCase c{ShapeOf(4, 2, 128), Type::kQ4_0, 300, 8};
  PagedInput input(c);
  for (std::int64_t i = 0; i < input.k.rows(); ++i) {
    for (std::int64_t j = 5; j < input.k.cols(); j += 32) Rows(input.k).at(i, j) += 20;
  }
  const auto rotate_heads = [](Matrix m) {
    for (std::int64_t i = 0; i < m.rows(); ++i) {
      for (std::int64_t j = 0; j < m.cols(); j += 128) HadamardTransform(Rows(m).Columns(j, 128)[i]);
    }
    return m;
  };
  const KvLayout layout{c.type, 2, 128};
  const PagedResult want = Attend(oracle(), c, input.q, KvView::OfRows(input.k, input.v, 128));
  const Pages pages(kernels(), layout, input.k, input.v);
  const PagedResult rotated = Attend(kernels(), c, input.q, pages.view());
  const Pages plain_pages(kernels(), layout, rotate_heads(input.k), rotate_heads(input.v));
  PagedResult plain = Attend(kernels(), c, rotate_heads(input.q), plain_pages.view());
  plain.out = rotate_heads(plain.out);
  const auto error = [&](const Matrix& m) {
    double sum = 0;
    for (std::size_t i = 0; i < m.span().size(); ++i) sum += std::pow(m.span()[i] - want.out.span()[i], 2);
    return sum;
  };
  EXPECT_LT(error(rotated.out), 0.5 * error(plain.out));
}

INSTANTIATE_TEST_SUITE_P(Isa, AttentionTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
