// Order, position and document are three things. Attention depends on order and document; positions rotate
// queries and keys and do nothing else. Code that takes a jump in positions for a new document cuts exactly
// the attention that PoSE trains. Code that forgets documents lets packed texts see each other.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "nn/block.h"
#include "nn/testing/block_fixture.h"

namespace longspan {
namespace {

using oracle::BlockFixture;
using oracle::RandomMatrix;

constexpr std::int64_t kDim = 12;

// The largest change of any element of rows [first, first + count).
float Change(ConstRows a, ConstRows b, std::int64_t first, std::int64_t count) {
  float largest = 0;
  for (std::int64_t i = first; i < first + count; ++i) {
    for (std::int64_t j = 0; j < a.cols; ++j) largest = std::max(largest, std::abs(a.at(i, j) - b.at(i, j)));
  }
  return largest;
}

float Largest(ConstRows a, std::int64_t first, std::int64_t count) {
  const Matrix zero(a.rows, a.cols);
  return Change(a, zero, first, count);
}

class OrderPositionDocumentTest : public testing::TestWithParam<std::string> {
 protected:
  explicit OrderPositionDocumentTest(std::int64_t window = AttentionShape::kNoWindow) : window_(window) {}

  const Kernels& kernels() const { return ChooseKernels(GetParam()); }

  struct Rowwise {
    std::vector<std::int32_t> positions, documents;  // of each row
    std::int64_t sequences = 1;
  };

  Matrix Output(const Matrix& x, const Rowwise& rows) const {
    Matrix y = x;
    BlockActivations activations;
    const RopeTable rope(rows.positions, fixture_.InverseFrequencies(), 1);
    BlockForward(fixture_.block, Context(rope, rows), y, activations);
    return y;
  }

  // The gradient of the sum of rows [first, first + count) of the output with respect to the input.
  Matrix InputGradient(const Matrix& x, const Rowwise& rows, std::int64_t first, std::int64_t count) const {
    Matrix y = x, dx(x.rows(), x.cols());
    const Matrix probe = RandomMatrix(x.rows(), x.cols(), 9);
    for (std::int64_t i = first; i < first + count; ++i) std::ranges::copy(probe[i], dx[i].begin());
    BlockActivations activations;
    const RopeTable rope(rows.positions, fixture_.InverseFrequencies(), 1);
    const BlockContext context = Context(rope, rows);
    BlockForward(fixture_.block, context, y, activations);
    BlockBackward(fixture_.block, context, x, activations, dx, {});
    return dx;
  }

 private:
  BlockContext Context(const RopeTable& rope, const Rowwise& rows) const {
    return {kernels(), fixture_.attention(), 1e-5f, rope, rows.sequences, rows.documents};
  }

  const std::int64_t window_;
  BlockFixture fixture_{
      {.heads = 4, .kv_heads = 2, .head_dim = 4, .dim = kDim, .hidden_dim = 16, .window = window_}};
};

// The same with a window, which also depends on order.
class WindowTest : public OrderPositionDocumentTest {
 protected:
  static constexpr std::int64_t kWindow = 5;
  WindowTest() : OrderPositionDocumentTest(kWindow) {}
};

Matrix WithOtherRow(const Matrix& x, std::int64_t row) {
  Matrix changed = x;
  const Matrix other = RandomMatrix(1, x.cols(), 77);
  std::ranges::copy(other[0], changed[row].begin());
  return changed;
}

// Positions of `length` tokens in two chunks, the second one `skip` further on than it would be.
std::vector<std::int32_t> TwoChunks(std::int64_t length, std::int32_t skip) {
  std::vector<std::int32_t> positions(static_cast<std::size_t>(length));
  std::iota(positions.begin(), positions.end(), 0);
  for (std::size_t i = positions.size() / 2; i < positions.size(); ++i) positions[i] += skip;
  return positions;
}

TEST_P(OrderPositionDocumentTest, AJumpInPositionsDoesNotCutAttention) {
  for (const std::int64_t length : {6, 150}) {  // within a block of keys, and over several
    const std::int64_t half = length / 2, last = length - 1;
    const Matrix x = RandomMatrix(length, kDim, 1);
    for (const std::int32_t skip :
         {0, 1, 57344, -static_cast<std::int32_t>(half)}) {  // the last starts again at 0
      for (const bool one_document : {false, true}) {
        const std::string what =
            fmt::format("length {} skip {} documents given {}", length, skip, one_document);
        Rowwise rows{TwoChunks(length, skip), {}};
        if (one_document) rows.documents.assign(static_cast<std::size_t>(length), 3);

        // Every token of the later chunk depends on the first token, which is in the earlier one ...
        const Matrix y = Output(x, rows), changed = Output(WithOtherRow(x, 0), rows);
        for (std::int64_t i = half; i < length; ++i) {
          ASSERT_GT(Change(y, changed, i, 1), 1e-5f) << what << ": row " << i;
        }
        // ... and the last token's gradient reaches every token of the earlier chunk.
        const Matrix dx = InputGradient(x, rows, last, 1);
        for (std::int64_t i = 0; i < half; ++i) ASSERT_GT(Largest(dx, i, 1), 1e-6f) << what << ": row " << i;
      }
    }
  }
}

TEST_P(OrderPositionDocumentTest, OrderAloneIsCausal) {
  // Later tokens with earlier positions are still later.
  for (const std::int64_t length : {6, 150}) {
    const std::int64_t half = length / 2;
    const Matrix x = RandomMatrix(length, kDim, 1);
    for (const std::int32_t skip : {57344, -static_cast<std::int32_t>(half)}) {
      const Rowwise rows{TwoChunks(length, skip), {}};
      const Matrix y = Output(x, rows), changed = Output(WithOtherRow(x, half), rows);
      EXPECT_EQ(Change(y, changed, 0, half), 0) << "length " << length << " skip " << skip;
      const Matrix dx = InputGradient(x, rows, 0, half);
      EXPECT_EQ(Largest(dx, half, length - half), 0) << "length " << length << " skip " << skip;
    }
  }
}

TEST_P(OrderPositionDocumentTest, PositionsMatter) {
  const Matrix x = RandomMatrix(6, kDim, 1);
  const Matrix near = Output(x, {TwoChunks(6, 0), {}}), far = Output(x, {TwoChunks(6, 57344), {}});
  EXPECT_EQ(Change(near, far, 0, 3), 0) << "the first chunk is where it was";
  EXPECT_GT(Change(near, far, 3, 3), 1e-3f);
}

TEST_P(OrderPositionDocumentTest, PackedDocumentsDoNotSeeEachOther) {
  for (const auto& [first, second] :
       {std::pair<std::int64_t, std::int64_t>{4, 5}, {70, 65}, {64, 64}, {1, 130}}) {
    const std::int64_t length = first + second;
    const std::string what = fmt::format("{} + {} tokens", first, second);
    const Matrix x = RandomMatrix(length, kDim, 1);
    Rowwise rows;
    // Positions run on from one document to the next: only the id tells them apart.
    for (std::int64_t i = 0; i < length; ++i) {
      rows.positions.push_back(static_cast<std::int32_t>(i));
      rows.documents.push_back(i < first ? 0 : 1);
    }
    const Matrix y = Output(x, rows);
    for (const std::int64_t row : {std::int64_t{0}, first - 1}) {
      const Matrix changed = Output(WithOtherRow(x, row), rows);
      EXPECT_EQ(Change(y, changed, first, second), 0) << what << ": row " << row << " shows";
      EXPECT_GT(Change(y, changed, row, 1), 1e-3f) << what;
    }
    const Matrix dx = InputGradient(x, rows, first, second);
    EXPECT_EQ(Largest(dx, 0, first), 0) << what << ": gradient leaks into the first document";
    EXPECT_GT(Largest(dx, first, 1), 1e-6f) << what;

    // Each document is what it would be alone, at the same positions.
    for (const auto& [begin, count] : {std::pair{std::int64_t{0}, first}, {first, second}}) {
      Matrix alone(count, kDim);
      Rowwise alone_rows;
      for (std::int64_t i = 0; i < count; ++i) {
        std::ranges::copy(x[begin + i], alone[i].begin());
        alone_rows.positions.push_back(rows.positions[begin + i]);
      }
      const Matrix want = Output(alone, alone_rows);
      EXPECT_LT(Change(ConstRows(y).Slice(begin, count), want, 0, count), 2e-5f) << what << " from " << begin;
    }
  }
}

TEST_P(OrderPositionDocumentTest, SequencesOfABatchDoNotSeeEachOther) {
  for (const bool same_document : {false, true}) {
    const std::int64_t length = 70;
    const Matrix x = RandomMatrix(2 * length, kDim, 1);
    Rowwise rows;
    rows.sequences = 2;
    for (std::int32_t i = 0; i < 2 * length; ++i) rows.positions.push_back(i % length);
    if (same_document) rows.documents.assign(static_cast<std::size_t>(2 * length), 0);
    const Matrix y = Output(x, rows), changed = Output(WithOtherRow(x, 0), rows);
    EXPECT_EQ(Change(y, changed, length, length), 0);
    EXPECT_GT(Change(y, changed, length - 1, 1), 1e-5f);
    EXPECT_EQ(Largest(InputGradient(x, rows, length, length), 0, length), 0);
    EXPECT_EQ(Largest(InputGradient(x, rows, 0, length), length, length), 0);
  }
}

TEST_P(WindowTest, ReachesBackByOrderWhateverThePositions) {
  for (const std::int64_t length : {12, 150}) {
    const std::int64_t changed_row = length / 2 - 2;  // its window ends past the jump
    const Matrix x = RandomMatrix(length, kDim, 1);
    for (const std::int32_t skip : {0, 57344, -static_cast<std::int32_t>(length / 2)}) {
      const std::string what = fmt::format("length {} skip {}", length, skip);
      const Rowwise rows{TwoChunks(length, skip), {}};
      const Matrix y = Output(x, rows), changed = Output(WithOtherRow(x, changed_row), rows);
      for (std::int64_t i = 0; i < length; ++i) {
        const bool sees = i >= changed_row && i - changed_row < kWindow;
        EXPECT_EQ(Change(y, changed, i, 1) > 0, sees) << what << ": row " << i;
      }
      const Matrix dx = InputGradient(x, rows, length - 1, 1);
      for (std::int64_t i = 0; i < length; ++i) {
        EXPECT_EQ(Largest(dx, i, 1) > 0, length - 1 - i < kWindow) << what << ": row " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, WindowTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Isa, OrderPositionDocumentTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
