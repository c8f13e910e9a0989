// Products on tiles against plain sums of the same rounded numbers: with PlainTiles and VectorTiles
// everywhere, with the tile unit where there is one.
#include "kernels/bf16/product.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/bf16/unpack.h"
#include "kernels/kernels.h"
#include "kernels/testing/random_blocks.h"
#include "kernels/testing/tiles.h"

namespace longspan::bf16 {
namespace {

// Numbers that BF16 holds.
Matrix RandomRows(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  Matrix m(rows, cols);
  Random random(29, stream, RandomPurpose::kTest);
  for (float& x : m.span()) x = BF16ToF32(F32ToBF16(random.Normal()));
  return m;
}

// The weight as it is unpacked.
Tensor Unpacked(const Tensor& w) {
  Matrix m(w.rows(), w.cols());
  const std::int64_t chunks = (w.cols() + kChunk - 1) / kChunk;
  AlignedVector<std::uint16_t> row(static_cast<std::size_t>(chunks * kChunk));
  for (std::int64_t i = 0; i < w.rows(); ++i) {
    UnpackRow(w.type(), w.row(i).data(), w.cols(), row.data(), kChunk);
    for (std::size_t j = 0; j < m[i].size(); ++j) m[i][j] = BF16ToF32(row[j]);
  }
  return Tensor::FromRows(m);
}

template <class Tiles>
class ProductTest : public TilesTest<Tiles> {
 protected:
  void Multiply(ConstRows x, const Tensor& w, Rows y, bool add) const {
    PackedRows packed;
    packed.Pack(x);
    MatMul<Tiles>(packed, w, y, add);
  }

  void Compare(Type type, std::int64_t n, std::int64_t out, std::int64_t in) const {
    const std::string what = fmt::format("{} {}x{}x{}", Traits(type).name, n, out, in);
    const Tensor w = RandomWeight(type, out, in, static_cast<std::uint64_t>(n * out));
    const Matrix x = RandomRows(n, in, 2);
    Matrix want(n, out);
    ReferenceKernels().MatMul(x, Unpacked(w), want, Store::kSet);
    double size = 0;
    for (const float v : want.span()) size = std::max<double>(size, std::abs(v));
    // y is a view, and the memory between its rows must stay as it is.
    Matrix wide(n, out + 7);
    std::ranges::fill(wide.span(), 9.0f);
    const Rows y = Rows(wide).Columns(3, out);
    Multiply(x, w, y, false);
    Matrix added = RandomRows(n, out, 3);
    const Matrix start = added;
    Multiply(x, w, added, true);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < out + 7; ++j) {
        if (j < 3 || j >= out + 3) {
          ASSERT_EQ(wide[i][j], 9.0f) << what;
          continue;
        }
        const auto column = static_cast<std::size_t>(j - 3);
        ASSERT_NEAR(y[i][column], want[i][column], 2e-5 * size)
            << what << fmt::format(" at {}, {}", i, column);
        ASSERT_EQ(added[i][column], start[i][column] + y[i][column]) << what;
      }
    }
  }
};

// A product with the columns of a matrix.
template <class Tiles>
class ColumnsTest : public TilesTest<Tiles> {
 protected:
  // y [n, cols] = x [n, rows] W of a weight, and of x's transpose, packed as such.
  void Compare(Type type, std::int64_t n, std::int64_t rows, std::int64_t cols) const {
    const std::string what = fmt::format("{} {}x{}x{}", Traits(type).name, n, rows, cols);
    const Tensor w = RandomWeight(type, rows, cols, static_cast<std::uint64_t>(n * cols));
    const Matrix x = RandomRows(n, rows, 2);
    Matrix want(n, cols), transposed(rows, n);
    ReferenceKernels().MatMulInputGradient(x, Unpacked(w), want, Store::kSet);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < rows; ++j)
        transposed[j][static_cast<std::size_t>(i)] = x[i][static_cast<std::size_t>(j)];
    }
    double size = 0;
    for (const float v : want.span()) size = std::max<double>(size, std::abs(v));
    PackedRows packed;
    for (const bool of_transpose : {false, true}) {
      if (of_transpose)
        packed.PackTransposed(transposed);
      else
        packed.Pack(x);
      Matrix y = RandomRows(n, cols, 3);
      const Matrix start = y;
      MatMulColumns<Tiles>(packed, MatrixBytes::Of(w), y, of_transpose);
      for (std::size_t i = 0; i < y.span().size(); ++i) {
        ASSERT_NEAR(y.span()[i], want.span()[i] + (of_transpose ? start.span()[i] : 0.0f), 2e-5 * size)
            << what << " at " << i << (of_transpose ? ", transposed and added" : "");
      }
    }
  }
};

TYPED_TEST_SUITE(ColumnsTest, AllTiles);

TYPED_TEST(ColumnsTest, EveryType) {
  for (const Type type : kWeightTypes) {
    const std::int64_t block = Traits(type).block_elements;
    this->Compare(type, 17, 50, std::max<std::int64_t>(block, 32));
    this->Compare(type, 40, 33, block == 256 ? 768 : 544);
  }
}

TYPED_TEST(ColumnsTest, RaggedShapes) {
  for (std::int64_t n = 1; n <= 40; n += 3) this->Compare(Type::kF32, n, 1 + n * 7 % 40, 1 + n * 37 % 100);
  for (const std::int64_t rows : {1, 31, 33, 511, 513, 1025}) this->Compare(Type::kBF16, 18, rows, 35);
  this->Compare(Type::kF32, 530, 40, 600);
}

// Rows that are part of wider ones, as activations are.
TYPED_TEST(ColumnsTest, RowsMayLieApart) {
  const Matrix wide = RandomRows(40, 100, 1), dy = RandomRows(40, 20, 2);
  const ConstRows x = ConstRows(wide).Columns(10, 50);
  Matrix dw(20, 50), want(20, 50);
  ReferenceKernels().MatMulWeightGradient(dy, x, want);
  PackedRows packed;
  packed.PackTransposed(dy);
  MatMulColumns<TypeParam>(packed, MatrixBytes::Of(x), dw, true);
  for (std::size_t i = 0; i < dw.span().size(); ++i) ASSERT_NEAR(dw.span()[i], want.span()[i], 1e-4);
}

TYPED_TEST(ColumnsTest, ThreadsChangeNothing) {
  const Tensor w = RandomBlocks(Type::kQ4_K, 300, 768, 7);
  const Matrix x = RandomRows(600, 300, 8);
  PackedRows packed;
  packed.Pack(x);
  SetThreads(1);
  Matrix all(600, 768), again(600, 768);
  MatMulColumns<TypeParam>(packed, MatrixBytes::Of(w), all, false);
  SetThreads(3);
  MatMulColumns<TypeParam>(packed, MatrixBytes::Of(w), again, false);
  EXPECT_EQ(std::memcmp(again.data(), all.data(), all.span().size_bytes()), 0);
}

TYPED_TEST_SUITE(ProductTest, AllTiles);

TYPED_TEST(ProductTest, EveryType) {
  for (const Type type : kWeightTypes) {
    const std::int64_t block = Traits(type).block_elements;
    this->Compare(type, 17, 50, std::max<std::int64_t>(block, 32));
    this->Compare(type, 40, 33, block == 256 ? 768 : 544);
    if (block < 256) this->Compare(type, 33, 20, 288);
  }
}

TYPED_TEST(ProductTest, RaggedShapes) {
  for (std::int64_t n = 1; n <= 40; ++n) this->Compare(Type::kF32, n, 1 + n * 7 % 40, 1 + n * 37 % 100);
  for (const std::int64_t in : {1, 31, 32, 33, 511, 512, 513, 1025}) this->Compare(Type::kBF16, 18, 35, in);
  this->Compare(Type::kF16, 100, 70, 40);
}

TYPED_TEST(ProductTest, SeveralTasksOfRowsAndOutputs) {
  this->Compare(Type::kQ8_0, 530, 70, 32);
  this->Compare(Type::kF32, 5, 2100, 40);
}

TYPED_TEST(ProductTest, RowsAndThreadsChangeNothing) {
  const Tensor w = RandomBlocks(Type::kQ4_K, 150, 768, 7);
  const Matrix x = RandomRows(600, 768, 8);
  SetThreads(1);
  Matrix all(600, 150);
  this->Multiply(x, w, all, false);
  SetThreads(3);
  Matrix again(600, 150), some(20, 150);
  this->Multiply(x, w, again, false);
  EXPECT_EQ(std::memcmp(again.data(), all.data(), all.span().size_bytes()), 0);
  this->Multiply(ConstRows(x).Slice(300, 20), w, some, false);
  EXPECT_EQ(std::memcmp(some.data(), all[300].data(), some.span().size_bytes()), 0);
}

TEST(ProductOnTilesTest, TheTileUnitGivesTheSameBits) {
  if (!TilesSupported()) GTEST_SKIP() << "this machine has no tile unit";
  const Tensor w = RandomBlocks(Type::kQ6_K, 70, 1280, 7);
  const Matrix x = RandomRows(45, 1280, 8);
  PackedRows packed;
  packed.Pack(x);
  Matrix plain(45, 70), unit(45, 70);
  MatMul<PlainTiles>(packed, w, plain, false);
  MatMul<HardwareTiles>(packed, w, unit, false);
  EXPECT_EQ(std::memcmp(plain.data(), unit.data(), plain.span().size_bytes()), 0);
}

}  // namespace
}  // namespace longspan::bf16
