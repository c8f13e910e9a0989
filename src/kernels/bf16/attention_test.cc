// Attention on tiles against the reference: with PlainTiles and VectorTiles everywhere, with the tile unit
// where there is one. BF16 holds the queries, keys and values exactly, also times the scale, so only
// probabilities are rounded.
#include "kernels/bf16/attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <numbers>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/tiles.h"
#include "tensor/float16.h"

namespace longspan::bf16 {
namespace {

using oracle::ExpectClose;

Matrix Rounded(std::int64_t rows, std::int64_t cols, std::uint64_t stream, float scale) {
  Matrix m = oracle::RandomMatrix(rows, cols, stream);
  for (float& x : m.span()) x = scale * BF16ToF32(F32ToBF16(x));
  return m;
}

// The last n of before + n tokens are queries. Keys and values lie in pages of `type` if `paged`, otherwise
// in rows.
struct Case {
  std::int64_t heads, kv_heads, head_dim;
  std::int64_t before, n;
  bool paged = false;
  Type type = Type::kF32;
  bool documents = false;
  std::int64_t window = AttentionShape::kNoWindow;

  AttentionShape shape() const { return {heads, kv_heads, head_dim, std::numbers::ln2_v<float>, window}; }
  std::string what() const {
    return fmt::format("{}{}{} heads {}/{} dim {} window {}: {} after {}", paged ? "pages of " : "rows of ",
                       Traits(type).name, documents ? ", documents," : "", heads, kv_heads, head_dim, window,
                       n, before);
  }
};

struct Input {
  explicit Input(const Case& c, std::uint64_t stream = 0)
      : length(c.before + c.n),
        q(Rounded(c.n, c.heads * c.head_dim, stream + 1, 0.25f)),
        k(Rounded(length, c.kv_heads * c.head_dim, stream + 2, 1)),
        v(Rounded(length, c.kv_heads * c.head_dim, stream + 3, 1)) {
    Random random(3, stream, RandomPurpose::kTest);
    std::int32_t id = 5;
    for (std::int64_t i = 0; c.documents && i < length; ++i) {
      if (random.Below(90) == 0) id += 2;
      documents.push_back(id);
    }
    if (!c.paged) {
      view = KvView::OfRows(k, v, c.head_dim);
      return;
    }
    // Memory that no token was written to is NaN.
    const KvLayout layout{c.type, c.kv_heads, c.head_dim};
    for (std::int64_t p = 0; p * kKvBlock < length; ++p) {
      storage.emplace_back(static_cast<std::size_t>(layout.PageBytes()), std::byte{0xff});
      pages.push_back(storage.back().data());
      const_pages.push_back(storage.back().data());
    }
    ReferenceKernels().StoreKv(layout, k, v, 0, pages);
    view = KvView::OfPages(layout, const_pages, length);
  }
  AttentionSequence Sequence(const Case& c, Rows out, Rows log_sum_exp) const {
    return {{q, view, c.before, documents}, out, log_sum_exp};
  }

  std::int64_t length;
  Matrix q, k, v;
  std::vector<std::int32_t> documents;
  std::deque<AlignedVector<std::byte>> storage;
  std::vector<std::byte*> pages;
  std::vector<const std::byte*> const_pages;
  KvView view;
};

struct Result {
  explicit Result(const Case& c) : out(c.n, c.heads * c.head_dim), log_sum_exp(c.heads, c.n) {}
  Matrix out, log_sum_exp;
};

template <class Tiles>
class AttentionOnTilesTest : public TilesTest<Tiles> {
 protected:
  Result Attend(const Case& c, const Input& input) const {
    Result r(c);
    const AttentionSequence sequence = input.Sequence(c, r.out, r.log_sum_exp);
    Attention<Tiles>(c.shape(), {&sequence, 1});
    return r;
  }
  void Compare(const Case& c) const {
    const Input input(c);
    const Result got = Attend(c, input);
    Result want(c);
    const AttentionSequence sequence = input.Sequence(c, want.out, want.log_sum_exp);
    ReferenceKernels().Attention(c.shape(), {&sequence, 1});
    // Probabilities are rounded by up to 2^-9 of their size. Quantised keys and their queries are rounded
    // too, because they are rotated.
    const bool exact = !c.paged || c.type == Type::kBF16 || c.type == Type::kF32;
    ExpectClose(got.out.span(), want.out.span(), exact ? 4e-3f : 1e-2f, "out of " + c.what());
    for (std::size_t i = 0; i < want.log_sum_exp.span().size(); ++i) {
      ASSERT_NEAR(got.log_sum_exp.span()[i], want.log_sum_exp.span()[i], exact ? 2e-4 : 3e-2) << c.what();
    }
  }
};

TYPED_TEST_SUITE(AttentionOnTilesTest, AllTiles);

TYPED_TEST(AttentionOnTilesTest, Rows) {
  for (std::int64_t n = 1; n <= 40; ++n) this->Compare({4, 2, 32, 0, n});
  for (const std::int64_t n : {63, 64, 65, 200}) this->Compare({4, 4, 64, 0, n});
  this->Compare({6, 2, 48, 0, 65});
  this->Compare({2, 1, 20, 0, 33});
  this->Compare({8, 1, 128, 0, 70});
}

TYPED_TEST(AttentionOnTilesTest, PagesOfEveryType) {
  for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kQ4_0}) {
    for (const auto& [before, n] :
         {std::pair<std::int64_t, std::int64_t>{0, 1}, {64, 1}, {63, 2}, {0, 65}, {100, 37}}) {
      this->Compare({4, 2, 32, before, n, true, type});
    }
  }
  for (const std::int64_t n : {1, 7, 16, 17, 40}) this->Compare({4, 1, 64, 50, n, true, Type::kBF16});
  this->Compare({4, 2, 20, 70, 30, true, Type::kBF16});
}

// More blocks than are taken at once, and more queries than a task has.
TYPED_TEST(AttentionOnTilesTest, LongSequences) {
  this->Compare({4, 1, 32, 700, 40, true, Type::kBF16});
  this->Compare({4, 1, 32, 3, 300, true, Type::kBF16});
}

TYPED_TEST(AttentionOnTilesTest, Documents) {
  this->Compare({4, 2, 32, 0, 150, false, Type::kF32, true});
  this->Compare({2, 2, 32, 800, 40, true, Type::kBF16, true});
}

// Windows that end within blocks and at their ends, reach beyond a task, and leave out whole runs of blocks.
TYPED_TEST(AttentionOnTilesTest, Windows) {
  for (const std::int64_t window : {1, 64, 65, 600, 5000}) {
    this->Compare({4, 2, 32, 0, 150, false, Type::kF32, false, window});
    this->Compare({4, 1, 32, 1400, 40, true, Type::kBF16, false, window});
    this->Compare({4, 1, 32, 3, 300, true, Type::kQ8_0, true, window});
  }
}

// Scores that grow from block to block move the maximum up again and again, past what powers may reach.
TYPED_TEST(AttentionOnTilesTest, GrowingScores) {
  const Case c{2, 1, 32, 0, 300};
  Input input(c);
  for (std::int64_t i = 0; i < input.length; ++i) {
    for (float& x : input.k[i]) x = BF16ToF32(F32ToBF16(static_cast<float>(i) * 0.05f));
  }
  for (float& x : input.q.span()) x = 0.5f;
  const Result got = this->Attend(c, input);
  Result want(c);
  const AttentionSequence sequence = input.Sequence(c, want.out, want.log_sum_exp);
  ReferenceKernels().Attention(c.shape(), {&sequence, 1});
  ExpectClose(got.out.span(), want.out.span(), 4e-3f, "growing scores");
}

// A task flushes subnormal numbers. Afterwards the caller's arithmetic is as it was.
TYPED_TEST(AttentionOnTilesTest, LeavesTheCallersArithmeticAlone) {
  const Case c{2, 1, 32, 0, 20};
  const Input input(c);
  SetThreads(1);
  this->Attend(c, input);
  volatile float small = 1e-38f;
  EXPECT_NE(small * 0.1f, 0.0f);
}

// Each query's own KV block and others at random, for panels that share their block of queries and for panels
// across several.
TYPED_TEST(AttentionOnTilesTest, ChosenBlocks) {
  for (const Case& c :
       {Case{4, 1, 32, 1400, 128, true, Type::kBF16}, Case{4, 2, 32, 1101, 130, true, Type::kF16},
        Case{3, 1, 64, 700, 300, true, Type::kQ8_0}, Case{2, 2, 20, 37, 200},
        Case{4, 2, 32, 900, 140, true, Type::kBF16, false, 300}}) {
    const Input input(c);
    KeyBlocks blocks(c.heads, c.n, input.view.blocks());
    Random random(5, 0, RandomPurpose::kTest);
    for (std::int64_t h = 0; h < c.heads; ++h) {
      for (std::int64_t i = 0; i < blocks.query_blocks(); ++i) {
        for (std::uint8_t& x : blocks.Row(h, i)) x = random.Below(4) == 0 ? 1 : 0;
      }
      for (std::int64_t i = 0; i < c.n; ++i)
        blocks.Row(h, i / KeyBlocks::kQueries)[(c.before + i) / kKvBlock] = 1;
    }
    Result got(c), want(c);
    AttentionSequence sequence = input.Sequence(c, got.out, got.log_sum_exp);
    sequence.blocks = &blocks;
    Attention<TypeParam>(c.shape(), {&sequence, 1});
    sequence.out = want.out;
    sequence.log_sum_exp = want.log_sum_exp;
    ReferenceKernels().Attention(c.shape(), {&sequence, 1});
    ExpectClose(got.out.span(), want.out.span(), c.type == Type::kQ8_0 ? 1e-2f : 4e-3f, "out of " + c.what());
    ExpectClose(got.log_sum_exp.span(), want.log_sum_exp.span(), c.type == Type::kQ8_0 ? 1e-2f : 1e-4f,
                "log-sum-exp of " + c.what());
  }
}

TYPED_TEST(AttentionOnTilesTest, SequencesAndThreadsDoNotMix) {
  const std::vector<Case> cases{{4, 2, 32, 70, 50, true, Type::kBF16},
                                {4, 2, 32, 0, 1, true, Type::kBF16},
                                {4, 2, 32, 0, 300, true, Type::kBF16}};
  std::deque<Input> inputs;
  for (const Case& c : cases) inputs.emplace_back(c, 10 * inputs.size());
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    std::deque<Result> results;
    std::vector<AttentionSequence> sequences;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      Result& r = results.emplace_back(cases[i]);
      sequences.push_back(inputs[i].Sequence(cases[i], r.out, r.log_sum_exp));
    }
    Attention<TypeParam>(cases[0].shape(), sequences);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const Result alone = this->Attend(cases[i], inputs[i]);
      EXPECT_TRUE(std::ranges::equal(results[i].out.span(), alone.out.span()))
          << i << ", " << threads << " threads";
    }
  }
}

TEST(AttentionOnTheTileUnitTest, GivesTheSameBits) {
  if (!TilesSupported()) GTEST_SKIP() << "this machine has no tile unit";
  const Case c{4, 2, 64, 100, 90, true, Type::kBF16};
  const Input input(c);
  Result plain(c), unit(c);
  const AttentionSequence a = input.Sequence(c, plain.out, {}), b = input.Sequence(c, unit.out, {});
  Attention<PlainTiles>(c.shape(), {&a, 1});
  Attention<HardwareTiles>(c.shape(), {&b, 1});
  EXPECT_TRUE(std::ranges::equal(plain.out.span(), unit.out.span()));
}

}  // namespace
}  // namespace longspan::bf16
