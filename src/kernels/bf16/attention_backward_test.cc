// The backward pass of attention on tiles against the reference: with PlainTiles and VectorTiles everywhere,
// with the tile unit where there is one.
#include "kernels/bf16/attention_backward.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <limits>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/bf16/attention.h"
#include "kernels/kernels.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/tiles.h"

namespace longspan::bf16 {
namespace {

using oracle::ExpectClose;
using oracle::RandomMatrix;

struct Case {
  std::int64_t heads, kv_heads, head_dim, n;
  bool documents = false;
  std::int64_t window = AttentionShape::kNoWindow;

  AttentionShape shape() const {
    return {heads, kv_heads, head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)), window};
  }
  std::int64_t q_dim() const { return heads * head_dim; }
  std::int64_t kv_dim() const { return kv_heads * head_dim; }
  std::string what() const {
    return fmt::format("{} tokens, heads {}/{} dim {} documents {} window {}", n, heads, kv_heads, head_dim,
                       documents, window);
  }
};

struct Input {
  explicit Input(const Case& c, std::uint64_t stream = 0)
      : q(RandomMatrix(c.n, c.q_dim(), stream + 1)),
        k(RandomMatrix(c.n, c.kv_dim(), stream + 2)),
        v(RandomMatrix(c.n, c.kv_dim(), stream + 3)),
        dout(RandomMatrix(c.n, c.q_dim(), stream + 4)) {
    Random random(3, stream, RandomPurpose::kTest);
    std::int32_t id = 5;
    for (std::int64_t i = 0; c.documents && i < c.n; ++i) {
      if (random.Below(90) == 0) id += 2;
      documents.push_back(id);
    }
  }
  Matrix q, k, v, dout;
  std::vector<std::int32_t> documents;
};

// What a forward and a backward pass write. Gradients lie between columns that must stay as they are, and
// begin as what is no number, because they are to be set.
struct Result {
  explicit Result(const Case& c)
      : out(c.n, c.q_dim()),
        log_sum_exp(c.heads, c.n),
        dq(c.n, c.q_dim() + 2),
        dk(c.n, c.kv_dim() + 2),
        dv(c.n, c.kv_dim() + 2) {
    for (Matrix* m : {&dq, &dk, &dv}) {
      for (std::int64_t i = 0; i < c.n; ++i) {
        std::ranges::fill((*m)[i], std::numeric_limits<float>::quiet_NaN());
        (*m)[i].front() = (*m)[i].back() = 7;
      }
    }
  }
  AttentionSequence Forward(const Case& c, const Input& in) {
    return {{in.q, KvView::OfRows(in.k, in.v, c.head_dim), 0, in.documents}, out, log_sum_exp};
  }
  AttentionBackwardSequence Backward(const Case& c, const Input& in) {
    const auto inside = [](Matrix& m) { return Rows(m).Columns(1, m.cols() - 2); };
    return {Forward(c, in), out, log_sum_exp, in.dout, inside(dq), inside(dk), inside(dv)};
  }
  bool operator==(const Result& other) const {
    return std::ranges::equal(dq.span(), other.dq.span()) && std::ranges::equal(dk.span(), other.dk.span()) &&
           std::ranges::equal(dv.span(), other.dv.span());
  }
  Matrix out, log_sum_exp, dq, dk, dv;
};

Result FromReference(const Case& c, const Input& in) {
  Result r(c);
  const AttentionSequence forward = r.Forward(c, in);
  ReferenceKernels().Attention(c.shape(), {&forward, 1});
  const AttentionBackwardSequence backward = r.Backward(c, in);
  ReferenceKernels().AttentionBackward(c.shape(), {&backward, 1});
  return r;
}

template <class Tiles>
Result OnTiles(const Case& c, const Input& in) {
  Result r(c);
  const AttentionSequence forward = r.Forward(c, in);
  Attention<Tiles>(c.shape(), {&forward, 1});
  const AttentionBackwardSequence backward = r.Backward(c, in);
  AttentionBackward<Tiles>(c.shape(), {&backward, 1});
  return r;
}

// Every operand is rounded by up to 2^-9 of itself, scores included: their errors are those of a few terms of
// that size. Results are sums of many such errors, and off by at most a few times as much as one.
constexpr float kTolerance = 1.0f / 64;

void ExpectSameGradients(const Result& got, const Result& want, float tolerance, const std::string& what) {
  ExpectClose(got.dq.span(), want.dq.span(), tolerance, "dq of " + what);
  ExpectClose(got.dk.span(), want.dk.span(), tolerance, "dk of " + what);
  ExpectClose(got.dv.span(), want.dv.span(), tolerance, "dv of " + what);
  for (const Matrix* m : {&got.dq, &got.dk, &got.dv}) {
    for (std::int64_t i = 0; i < m->rows(); ++i) {
      ASSERT_EQ(ConstRows(*m)[i].front(), 7) << what;
      ASSERT_EQ(ConstRows(*m)[i].back(), 7) << what;
    }
  }
}

template <class Tiles>
class AttentionBackwardOnTilesTest : public TilesTest<Tiles> {
 protected:
  void Compare(const Case& c) const {
    const Input input(c);
    ExpectSameGradients(OnTiles<Tiles>(c, input), FromReference(c, input), kTolerance, c.what());
  }
};

TYPED_TEST_SUITE(AttentionBackwardOnTilesTest, AllTiles);

TYPED_TEST(AttentionBackwardOnTilesTest, LengthsOfAllKinds) {
  for (const std::int64_t n : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 128, 129, 200})
    this->Compare({2, 1, 32, n});
}

TYPED_TEST(AttentionBackwardOnTilesTest, HeadsOfAllShapes) {
  for (const std::int64_t head_dim : {1, 8, 16, 20, 32, 48, 64, 80, 128}) this->Compare({2, 2, head_dim, 70});
  this->Compare({6, 2, 48, 65});
  this->Compare({5, 1, 64, 40});
}

// Pieces: three of 128 tokens, five of which the last is ragged, more than eight.
TYPED_TEST(AttentionBackwardOnTilesTest, LongSequences) {
  for (const std::int64_t n : {384, 513}) this->Compare({2, 1, 20, n});
}
TEST(AttentionBackwardOnTheTileUnitTest, TakesLongSequences) {
  if (!TilesSupported()) GTEST_SKIP() << "this machine has no tile unit";
  const Case c{2, 1, 16, 4700};
  const Input input(c);
  ExpectSameGradients(OnTiles<HardwareTiles>(c, input), FromReference(c, input), kTolerance, c.what());
}

TYPED_TEST(AttentionBackwardOnTilesTest, Documents) {
  this->Compare({4, 2, 32, 150, true});
  this->Compare({2, 1, 16, 500, true});
}

// Windows that end within blocks, at their ends and beyond the sequence.
TYPED_TEST(AttentionBackwardOnTilesTest, Windows) {
  for (const std::int64_t window : {1, 7, 64, 65, 130, 5000}) {
    this->Compare({2, 1, 32, 300, false, window});
    this->Compare({2, 2, 16, 270, true, window});
  }
}

// Keys that all have the same large part, as Llamas have them. It changes no probability, but what rounding
// makes of a query is then many times as large as the scores' differences. Scores have to be those of the
// forward pass for its log-sum-exp to take that out again.
TYPED_TEST(AttentionBackwardOnTilesTest, ALargeCommonPartOfKeysCancelsOut) {
  const Case c{2, 1, 64, 200};
  Input input(c);
  for (std::int64_t i = 0; i < c.n; ++i) input.k[i][5] = 1000;
  Result got = OnTiles<TypeParam>(c, input), want = FromReference(c, input);
  // Along this part the gradient is zero, as a sum of large terms: there rounding does show.
  for (Result* r : {&got, &want}) {
    for (std::int64_t i = 0; i < c.n; ++i) r->dq[i][1 + 5] = r->dq[i][1 + 64 + 5] = 0;
  }
  ExpectSameGradients(got, want, kTolerance, c.what());
}

TYPED_TEST(AttentionBackwardOnTilesTest, SequencesAndThreadsDoNotMix) {
  const std::vector<Case> cases{{4, 2, 16, 150, true}, {4, 2, 16, 1}, {4, 2, 16, 400}};
  std::deque<Input> inputs;
  std::deque<Result> alone;
  for (const Case& c : cases)
    alone.push_back(OnTiles<TypeParam>(c, inputs.emplace_back(c, 10 * inputs.size())));
  for (int threads = 1; threads <= 4; ++threads) {
    SetThreads(threads);
    std::deque<Result> results;
    std::vector<AttentionSequence> forward;
    std::vector<AttentionBackwardSequence> backward;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      Result& r = results.emplace_back(cases[i]);
      forward.push_back(r.Forward(cases[i], inputs[i]));
      backward.push_back(r.Backward(cases[i], inputs[i]));
    }
    Attention<TypeParam>(cases[0].shape(), forward);
    AttentionBackward<TypeParam>(cases[0].shape(), backward);
    for (std::size_t i = 0; i < cases.size(); ++i)
      EXPECT_TRUE(results[i] == alone[i]) << i << ", " << threads << " threads";
  }
}

TEST(AttentionBackwardOnTheTileUnitTest, GivesTheSameBits) {
  if (!TilesSupported()) GTEST_SKIP() << "this machine has no tile unit";
  for (const Case& c : {Case{4, 2, 64, 190}, Case{2, 1, 20, 300, true, 70}}) {
    const Input input(c);
    EXPECT_TRUE(OnTiles<PlainTiles>(c, input) == OnTiles<HardwareTiles>(c, input)) << c.what();
  }
}

// Through the interface: sequences of few queries are exact, the others as above.
TEST(AttentionBackwardOnTheTileUnitTest, TakesSequencesOfManyQueries) {
  if (!HasBf16("amx")) GTEST_SKIP() << "this machine has no tile unit";
  const Kernels& bf16 = ChooseKernels("amx", Activations::kBf16);
  const std::vector<Case> cases{{2, 1, 32, 8}, {2, 1, 32, 100}, {2, 1, 32, 3}};
  std::deque<Input> inputs;
  std::deque<Result> results;
  std::vector<AttentionSequence> forward;
  std::vector<AttentionBackwardSequence> backward;
  for (const Case& c : cases) {
    const Input& input = inputs.emplace_back(c, 10 * inputs.size());
    Result& r = results.emplace_back(c);
    forward.push_back(r.Forward(c, input));
    backward.push_back(r.Backward(c, input));
  }
  bf16.Attention(cases[0].shape(), forward);
  bf16.AttentionBackward(cases[0].shape(), backward);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const bool many = HasManyQueries(cases[i].shape(), forward[i]);
    EXPECT_EQ(many, i == 1);
    ExpectSameGradients(results[i], FromReference(cases[i], inputs[i]), many ? kTolerance : 2e-5f,
                        cases[i].what());
  }
}

}  // namespace
}  // namespace longspan::bf16
