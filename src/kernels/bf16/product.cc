#include "kernels/bf16/product.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/bf16/unpack.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c,prfchw")
#include "kernels/bf16/block.h"
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {
namespace {

// Rows of the weight that are unpacked together: two tiles, which meet two tiles of x.
inline constexpr std::int64_t kStripRows = 2 * kTileRows;
inline constexpr std::int64_t kStripBytes = kStripRows * kDepth * 2;
// Rows of x that one task takes: a slab of them, and the task's sums, stay in the second-level cache.
inline constexpr std::int64_t kRowBlock = 512;
// Rows of the weight that a task takes. With more, x is fetched less often; with fewer, there are more tasks.
inline constexpr std::int64_t kFewestOutputs = 64, kMostOutputs = 256, kTasks = 32;

// Columns of a row that are unpacked at a time: a multiple of every type's block.
inline constexpr std::int64_t kPiece = 256;

// Unpacks the part of a strip that lies in one slab, a piece at a time, so that it can be done between
// products of tiles: while the tile unit works on one strip, the vector units make the next.
class StripUnpacker {
 public:
  explicit StripUnpacker(const Tensor& weight)
      : weight_(weight), row_bytes_(weight.row_bytes()), piece_bytes_(RowBytes(weight.type(), kPiece)) {}

  // Rows [first, first + rows), columns [slab * kDepth, ... + depth), as tiles [row tiles][steps].
  void Start(std::int64_t first, std::int64_t rows, std::int64_t slab, std::int64_t depth, std::byte* to) {
    next_ = 0;
    rows_ = rows;
    depth_ = depth;
    pieces_ = (depth + kPiece - 1) / kPiece;
    steps_ = (depth + kStep - 1) / kStep;
    from_ = weight_.row(first).data() + RowBytes(weight_.type(), slab * kDepth);
    to_ = to;
  }
  std::int64_t left() const { return rows_ * pieces_ - next_; }
  void Step() {
    const std::int64_t row = next_ / pieces_, piece = next_ % pieces_;
    ++next_;
    const std::byte* from = from_ + row * row_bytes_ + piece * piece_bytes_;
    // Prefetches the row's part of the next slab.
    const std::byte* ahead = from + pieces_ * piece_bytes_;
    for (std::int64_t at = 0; at < piece_bytes_; at += 64) _mm_prefetch(ahead + at, _MM_HINT_T1);
    const std::int64_t tile = row / kTileRows * steps_ + piece * (kPiece / kStep);
    std::byte* to = to_ + tile * kTileBytes + row % kTileRows * kTileRowBytes;
    UnpackRow(weight_.type(), from, std::min(kPiece, depth_ - piece * kPiece),
              reinterpret_cast<std::uint16_t*>(to), kTileBytes / 2);
  }
  void Finish() {
    while (left() > 0) Step();
  }

 private:
  const Tensor& weight_;
  const std::int64_t row_bytes_, piece_bytes_;
  std::int64_t next_ = 0, rows_ = 0, depth_ = 0, pieces_ = 1, steps_ = 0;
  const std::byte* from_ = nullptr;
  std::byte* to_ = nullptr;
};

// The same for a strip of columns, which it transposes. Floats are read where they lie; other types are
// unpacked a window of columns at a time, of one strip, or of a whole block where blocks are larger.
class ColumnUnpacker {
 public:
  explicit ColumnUnpacker(const MatrixBytes& matrix)
      : matrix_(matrix), window_cols_(std::max(kStripRows, Traits(matrix.type).block_elements)) {}

  // Columns [first, first + cols), rows [slab * kDepth, ... + depth), as tiles [column tiles][steps].
  void Start(std::int64_t first, std::int64_t, std::int64_t slab, std::int64_t depth, std::byte* to) {
    first_ = first;
    first_row_ = slab * kDepth;
    depth_ = depth;
    steps_ = (depth + kStep - 1) / kStep;
    next_ = 0;
    to_ = to;
    if (matrix_.type == Type::kF32) return;
    if (slab != slab_ || first / window_cols_ != window_) Unpack(first / window_cols_, slab);
    from_ = rows().data() + first % window_cols_;
  }
  std::int64_t left() const { return steps_ - next_; }
  void Step() {
    const std::int64_t row = next_ * kStep, count = depth_ - row;
    std::byte* to = to_ + next_ * kTileBytes;
    std::byte* below = to_ + (steps_ + next_) * kTileBytes;
    ++next_;
    if (matrix_.type == Type::kF32) {
      const std::int64_t cols = matrix_.cols - first_;
      const __mmask16 low = First16(cols), high = First16(cols - kTileRows);
      const std::byte* from = matrix_.data + (first_row_ + row) * matrix_.row_bytes + first_ * 4;
      const auto floats = [&](std::int64_t i) __attribute__((always_inline)) {
        const std::byte* at = from + i * matrix_.row_bytes;
        return i < count ? ToBf16(_mm512_maskz_loadu_ps(low, at), _mm512_maskz_loadu_ps(high, at + 64))
                         : _mm512_setzero_si512();
      };
      TransposeBlock(floats, to, below);
      return;
    }
    const std::uint16_t* from = from_ + row * window_cols_;
    const auto unpacked = [&](std::int64_t i) {
      return i < count ? _mm512_load_si512(from + i * window_cols_) : _mm512_setzero_si512();
    };
    TransposeBlock(unpacked, to, below);
  }
  void Finish() {
    while (left() > 0) Step();
  }

 private:
  static constexpr std::int64_t kMostWindow = 256;  // the largest block

  // [kDepth, window_cols_] BF16.
  static AlignedVector<std::uint16_t>& rows() {
    static thread_local AlignedVector<std::uint16_t> rows(static_cast<std::size_t>(kDepth * kMostWindow));
    return rows;
  }
  void Unpack(std::int64_t window, std::int64_t slab) {
    slab_ = slab;
    window_ = window;
    const std::int64_t column = window * window_cols_, cols = std::min(window_cols_, matrix_.cols - column);
    const std::byte* from = matrix_.data + first_row_ * matrix_.row_bytes + RowBytes(matrix_.type, column);
    for (std::int64_t i = 0; i < depth_; ++i)
      UnpackRow(matrix_.type, from + i * matrix_.row_bytes, cols, rows().data() + i * window_cols_, kChunk);
  }

  const MatrixBytes& matrix_;
  const std::int64_t window_cols_;
  std::int64_t slab_ = -1, window_ = -1;  // what rows() holds
  std::int64_t first_ = 0, first_row_ = 0, depth_ = 0, steps_ = 0, next_ = 0;
  const std::uint16_t* from_ = nullptr;
  std::byte* to_ = nullptr;
};

// Prefetches the lines that a block of tiles will be written to while it is still being summed.
void FetchOutputs(Rows y, std::int64_t row, std::int64_t column) {
  const std::int64_t end = std::min(row + 2 * kTileRows, y.rows);
  for (; row < end; ++row) {
    __builtin_prefetch(&y.at(row, column), 1);
    __builtin_prefetch(&y.at(row, column) + kTileRows, 1);
  }
}

// Computes outputs [first, first + outs) of the rows of x in tiles [first_tile, first_tile + count). Unpacker
// makes strips of the left operand.
template <class Tiles, class Unpacker>
void Task(const PackedRows& x, Unpacker unpacker, std::int64_t first, std::int64_t outs,
          std::int64_t first_tile, std::int64_t count, Rows y, bool add) {
  const FlushSubnormals flush;
  static thread_local AlignedVector<std::byte> strips;  // the one in use and the one that comes next
  static thread_local AlignedVector<float> sums;        // [tiles of outputs][count][16][16]
  strips.resize(2 * kStripBytes);
  const std::int64_t sums_stride = count * kTileFloats;
  sums.resize(RoundUp(outs, kStripRows) / kTileRows * sums_stride);
  const std::int64_t in_slab = (outs + kStripRows - 1) / kStripRows, units = in_slab * x.slabs();
  const auto buffer = [&](std::int64_t unit) { return strips.data() + unit % 2 * kStripBytes; };
  const auto start = [&](std::int64_t unit) {
    const std::int64_t slab = unit / in_slab, row = unit % in_slab * kStripRows;
    unpacker.Start(first + row, std::min(kStripRows, outs - row), slab, x.depth(slab), buffer(unit));
  };
  start(0);
  unpacker.Finish();
  Tiles tiles;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    if (unit + 1 < units) start(unit + 1);
    const std::int64_t slab = unit / in_slab, row = unit % in_slab * kStripRows, steps = x.steps(slab);
    const bool two_left = outs - row > kTileRows;
    // Pieces are spread evenly over the steps of this unit.
    const std::int64_t pieces = unpacker.left(), all_steps = steps * ((count + 1) / 2);
    std::int64_t due = 0;
    const auto between = [&] {
      for (due += pieces; due >= all_steps; due -= all_steps) unpacker.Step();
    };
    for (std::int64_t j = 0; j < count; j += 2) {
      const bool two_right = j + 1 < count;
      const LeftTiles left{buffer(unit), kTileRowBytes, kTileBytes, steps * kTileBytes};
      const RightTiles right{x.at(slab, first_tile + j), steps * kTileBytes};
      float* to = sums.data() + row / kTileRows * sums_stride + j * kTileFloats;
      const bool last = slab + 1 == x.slabs();
      if (last) FetchOutputs(y, (first_tile + j) * kTileRows, first + row);
      const auto block = [&]<int kRows, int kColumns>() {
        Block<kRows, kColumns, Keep::kLeft>(tiles, steps, left, right, {to, sums_stride}, slab > 0, between);
      };
      if (two_left && two_right)
        block.template operator()<2, 2>();
      else if (two_left)
        block.template operator()<2, 1>();
      else if (two_right)
        block.template operator()<1, 2>();
      else
        block.template operator()<1, 1>();
      if (!last) continue;
      for (int l = 0; l <= (two_left ? 1 : 0); ++l) {
        for (int r = 0; r <= (two_right ? 1 : 0); ++r) {
          WriteTransposed(to + l * sums_stride + r * kTileFloats, y, (first_tile + j + r) * kTileRows,
                          first + row + l * kTileRows, add);
        }
      }
    }
    unpacker.Finish();
  }
}

}  // namespace

template <class PackOne>
void PackedRows::PackTiles(PackOne&& pack) {
  const std::int64_t all_steps = (cols_ + kStep - 1) / kStep;
  data_.resize(all_steps * tiles() * kTileBytes);
  ParallelFor(slabs() * tiles(), [&](std::int64_t task) {
    const std::int64_t slab = task / tiles(), tile = task % tiles();
    std::byte* to = data_.data() + Offset(slab, tile);
    for (std::int64_t k = 0; k < steps(slab); ++k) {
      pack(tile * kTileRows, slab * kDepth + k * kStep, to + k * kTileBytes);
    }
  });
}

void PackedRows::Pack(ConstRows x) {
  rows_ = x.rows;
  cols_ = x.cols;
  PackTiles([&](std::int64_t row, std::int64_t column, std::byte* to) { PackTile(x, row, column, to); });
}

void PackedRows::PackTransposed(ConstRows x) {
  rows_ = x.cols;
  cols_ = x.rows;
  PackTiles(
      [&](std::int64_t row, std::int64_t column, std::byte* to) { PackColumnsTile(x, column, row, to); });
}

namespace {

// All outputs, `outs_per_task` of them a task.
template <class Tiles, class Unpacker, class Left>
void InTasks(const PackedRows& x, const Left& left, std::int64_t outs, std::int64_t outs_per_task, Rows y,
             bool add) {
  if (x.rows() == 0 || outs == 0) return;
  const std::int64_t out_tasks = (outs + outs_per_task - 1) / outs_per_task;
  // Rows are cut into equal shares, in pairs of tiles.
  const std::int64_t row_tasks = (x.rows() + kRowBlock - 1) / kRowBlock;
  const std::int64_t tiles_per_task = RoundUp((x.tiles() + row_tasks - 1) / row_tasks, 2);
  ParallelFor(out_tasks * row_tasks, [&](std::int64_t task) {
    const std::int64_t first = task / row_tasks * outs_per_task, tile = task % row_tasks * tiles_per_task;
    if (tile >= x.tiles()) return;
    Task<Tiles>(x, Unpacker(left), first, std::min(outs_per_task, outs - first), tile,
                std::min(tiles_per_task, x.tiles() - tile), y, add);
  });
}

std::int64_t OutputsPerTask(std::int64_t outs) {
  return std::clamp(RoundUp(outs / kTasks, kStripRows), kFewestOutputs, kMostOutputs);
}

}  // namespace

template <class Tiles>
void MatMul(const PackedRows& x, const Tensor& weight, Rows y, bool add) {
  InTasks<Tiles, StripUnpacker>(x, weight, weight.rows(), OutputsPerTask(weight.rows()), y, add);
}

template <class Tiles>
void MatMulColumns(const PackedRows& x, const MatrixBytes& w, Rows y, bool add) {
  // Blocks of 256 are unpacked as a whole, so no two tasks should share them.
  const bool large_blocks = Traits(w.type).block_elements > kStep;
  const std::int64_t outs_per_task = large_blocks ? kPiece : OutputsPerTask(w.cols);
  InTasks<Tiles, ColumnUnpacker>(x, w, w.cols, outs_per_task, y, add);
}

template void MatMul<HardwareTiles>(const PackedRows&, const Tensor&, Rows, bool);
template void MatMul<PlainTiles>(const PackedRows&, const Tensor&, Rows, bool);
template void MatMul<VectorTiles>(const PackedRows&, const Tensor&, Rows, bool);
template void MatMulColumns<HardwareTiles>(const PackedRows&, const MatrixBytes&, Rows, bool);
template void MatMulColumns<PlainTiles>(const PackedRows&, const MatrixBytes&, Rows, bool);
template void MatMulColumns<VectorTiles>(const PackedRows&, const MatrixBytes&, Rows, bool);

}  // namespace longspan::bf16
#pragma GCC pop_options
