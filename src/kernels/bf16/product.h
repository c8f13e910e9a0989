// Products of many rows with weights of any type on tiles: y = x W^T, computed as y^T = W x^T in BF16 with
// sums in F32, and y = x W, which gradients are made of, as y^T = W^T x^T.
//
// The weight is the left operand: a strip of it is unpacked to BF16 in the order of tiles, serves all rows of
// x while it is in cache, and is then overwritten. x is the right operand and packed once a call.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/memory.h"
#include "kernels/bf16/tiles.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan::bf16 {

// Columns of a slab: what is summed in tiles before sums go to memory. A multiple of every type's block.
inline constexpr std::int64_t kDepth = 512;

// x [rows, cols] as right operands: [slabs][tiles of 16 rows][steps of 32 columns][16 pairs of columns][16
// rows][2], zero past the last row and column.
class PackedRows {
 public:
  void Pack(ConstRows x);
  // Packs the transpose of x [cols, rows].
  void PackTransposed(ConstRows x);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t slabs() const { return (cols_ + kDepth - 1) / kDepth; }
  std::int64_t tiles() const { return (rows_ + kTileRows - 1) / kTileRows; }
  std::int64_t depth(std::int64_t slab) const { return std::min(kDepth, cols_ - slab * kDepth); }
  std::int64_t steps(std::int64_t slab) const { return (depth(slab) + kStep - 1) / kStep; }
  // The steps(slab) tiles of rows [16 tile, 16 tile + 16) in a slab, one after another.
  const std::byte* at(std::int64_t slab, std::int64_t tile) const {
    return data_.data() + Offset(slab, tile);
  }

 private:
  // Calls tile(first row, first column, to) for each tile.
  template <class PackOne>
  void PackTiles(PackOne&& tile);
  std::int64_t Offset(std::int64_t slab, std::int64_t tile) const {
    return (slab * (kDepth / kStep) * tiles() + tile * steps(slab)) * kTileBytes;
  }

  std::int64_t rows_ = 0, cols_ = 0;
  AlignedVector<std::byte> data_;
};

// From this many rows on, unpacking the weight pays.
inline constexpr std::int64_t kManyRows = 16;
// The same for a weight that could be multiplied by rounded rows, with no widening of its codes.
inline constexpr std::int64_t kManyRoundedRows = 32;

// y [n, out] = (or, with `add`, +=) x [n, in] W^T for W {out, in} of any type. Each output is summed in one
// order, whatever the number of rows or of threads. Tiles is one of tiles.h. Needs
// VectorsSupported().
template <class Tiles>
void MatMul(const PackedRows& x, const Tensor& weight, Rows y, bool add);

// A matrix [rows, cols] of any type whose columns are wanted.
struct MatrixBytes {
  Type type;
  const std::byte* data;
  std::int64_t row_bytes, rows, cols;  // row_bytes: from one row to the next

  static MatrixBytes Of(const Tensor& w) {
    return {w.type(), w.bytes().data(), w.row_bytes(), w.rows(), w.cols()};
  }
  static MatrixBytes Of(ConstRows x) {
    return {Type::kF32, reinterpret_cast<const std::byte*>(x.data),
            x.stride * static_cast<std::int64_t>(sizeof(float)), x.rows, x.cols};
  }
};

// y [n, cols] = (or, with `add`, +=) x [n, rows] w. The rest as MatMul.
template <class Tiles>
void MatMulColumns(const PackedRows& x, const MatrixBytes& w, Rows y, bool add);

}  // namespace longspan::bf16
