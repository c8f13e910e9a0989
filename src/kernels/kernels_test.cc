// Every implementation on this machine against the reference, over random shapes, ragged ones included.
#include "kernels/kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/testing/operands.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

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
constexpr Shape kShapes[] = {{1, 5, 7},    {1, 64, 64},  {7, 33, 20},   {8, 31, 300}, {13, 65, 257},
                             {40, 129, 64}, {12, 32, 256}, {25, 17, 513}, {64, 300, 40}};

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

// Rows of views lie apart; what is between them is left alone.
TEST_P(KernelsTest, MatrixProductRespectsStrides) {
  const Tensor w = RandomWeight(Type::kF32, 40, 24);
  Matrix x = RandomMatrix(30, 50, 1), y = RandomMatrix(30, 90, 2), y2 = y;
  kernels().MatMul(Rows(x).Columns(3, 24), w, Rows(y).Columns(5, 40), Store::kSet);
  oracle().MatMul(Rows(x).Columns(3, 24), w, Rows(y2).Columns(5, 40), Store::kSet);
  ExpectClose(y.span(), y2.span(), 1e-5f, "strided");
}

struct AttentionCase {
  std::int64_t n, heads, kv_heads, head_dim;
  bool documents;
};
constexpr AttentionCase kAttention[] = {{1, 4, 2, 64, false},  {5, 8, 4, 8, false},   {63, 4, 4, 32, false},
                                        {64, 4, 1, 64, false}, {65, 6, 2, 48, false}, {200, 4, 2, 16, false},
                                        {150, 4, 2, 32, true}, {33, 2, 1, 20, true}};

std::vector<std::int32_t> Documents(std::int64_t n) {
  std::vector<std::int32_t> documents;
  Random random(3, 0, RandomPurpose::kTest);
  std::int32_t id = 5;
  for (std::int64_t i = 0; i < n; ++i) {
    if (random.Below(20) == 0) id += 1 + static_cast<std::int32_t>(random.Below(3));
    documents.push_back(id);
  }
  return documents;
}

TEST_P(KernelsTest, AttentionAndItsBackward) {
  for (const AttentionCase& c : kAttention) {
    const std::string what = fmt::format("n {} heads {}/{} dim {} documents {}", c.n, c.heads, c.kv_heads, c.head_dim, c.documents);
    const AttentionShape shape{c.heads, c.kv_heads, c.head_dim, 1.0f / std::sqrt(static_cast<float>(c.head_dim))};
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
        forward.push_back({q[s], KvView::OfRows(k[s], v[s], c.head_dim), 0, documents, r.out[s], r.lse[s]});
      }
      kernels.Attention(shape, forward);
      for (std::size_t s = 0; s < 2; ++s) backward.push_back({forward[s], dout[s], r.dq[s], r.dk[s], r.dv[s]});
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

// A continuation reads earlier tokens' keys from pages, one token past a page included.
TEST_P(KernelsTest, AttentionOverPages) {
  const AttentionShape shape{4, 2, 32, 0.17f};
  for (const auto& [before, n] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {64, 1}, {63, 2}, {100, 37}, {130, 64}}) {
    const std::int64_t length = before + n;
    const Matrix q = RandomMatrix(n, 128, 1), k = RandomMatrix(length, 64, 2), v = RandomMatrix(length, 64, 3);
    const std::int64_t page_floats = KvView::PageFloats(2, 32), pages = (length + kKvBlock - 1) / kKvBlock;
    Matrix storage(pages, page_floats);
    std::vector<const float*> pointers;
    for (std::int64_t p = 0; p < pages; ++p) pointers.push_back(storage[p].data());
    for (std::int64_t t = 0; t < length; ++t) {
      for (std::int64_t h = 0; h < 2; ++h) {
        float* head = storage[t / kKvBlock].data() + h * KvView::PageFloats(1, 32);
        for (std::int64_t d = 0; d < 32; ++d) {
          head[t % kKvBlock * 32 + d] = ConstRows(k).at(t, h * 32 + d);
          head[kKvBlock * 32 + d * kKvBlock + t % kKvBlock] = ConstRows(v).at(t, h * 32 + d);
        }
      }
    }
    Matrix paged(n, 128), rows(n, 128), want(n, 128);
    const AttentionSequence by_pages{q, KvView::OfPages(pointers, length, 32), before, {}, paged, {}};
    const AttentionSequence by_rows{q, KvView::OfRows(k, v, 32), before, {}, rows, {}};
    const AttentionSequence expected{q, KvView::OfRows(k, v, 32), before, {}, want, {}};
    kernels().Attention(shape, {&by_pages, 1});
    kernels().Attention(shape, {&by_rows, 1});
    oracle().Attention(shape, {&expected, 1});
    ExpectClose(paged.span(), want.span(), 2e-5f, "pages");
    ExpectClose(rows.span(), want.span(), 2e-5f, "rows");
  }
}

TEST_P(KernelsTest, RowOperations) {
  for (const std::int64_t cols : {1, 6, 16, 37, 256, 300}) {
    const std::int64_t rows = 45;
    const Matrix x = RandomMatrix(rows, cols, 1), up = RandomMatrix(rows, cols, 2), dy = RandomMatrix(rows, cols, 3);
    const Matrix weight = RandomMatrix(1, cols, 4);
    Matrix a = RandomMatrix(rows, cols, 5), b = a, c(rows, cols), d(rows, cols), dw = RandomMatrix(1, cols, 6), dw2 = dw;
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
    EXPECT_NEAR(kernels().SumOfSquares(x.span()), oracle().SumOfSquares(x.span()), 1e-5 * static_cast<double>(rows * cols));
    if (cols % 2 == 0) {
      const Matrix cos = RandomMatrix(rows, cols / 2, 7), sin = RandomMatrix(rows, cols / 2, 8);
      kernels().Rope(a, cols, cos, sin, false);
      oracle().Rope(b, cols, cos, sin, false);
      ExpectClose(a.span(), b.span(), 1e-5f, "rope");
    }
  }
}

TEST_P(KernelsTest, CrossEntropy) {
  for (const std::int64_t cols : {2, 100, 4096}) {
    Matrix logits = RandomMatrix(19, cols, 1);
    for (float& x : logits.span()) x = 6 * x + 300;  // far from zero: the maximum must be taken out first
    std::vector<std::int32_t> targets;
    for (std::int32_t i = 0; i < 19; ++i) targets.push_back(i % 5 == 4 ? -1 : i % static_cast<std::int32_t>(cols));
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

INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::ValuesIn(AvailableKernels()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
