#include "kernels/amx/product.h"

#include <algorithm>

#include "base/parallel.h"
#include "kernels/amx/unpack.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c,prfchw")
#include "kernels/amx/block.h"
#include "kernels/amx/vectors.h"

namespace longspan::amx {
namespace {

constexpr std::int64_t RoundUp(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

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

// Prefetches the lines that a block of tiles will be written to while it is still being summed.
void FetchOutputs(Rows y, std::int64_t row, std::int64_t column) {
  const std::int64_t end = std::min(row + 2 * kTileRows, y.rows);
  for (; row < end; ++row) {
    __builtin_prefetch(&y.at(row, column), 1);
    __builtin_prefetch(&y.at(row, column) + kTileRows, 1);
  }
}

// Writes sums [16 outputs, 16 rows of x] into y from its row `row` and column `column` on.
void WriteTile(const float* sums, Rows y, std::int64_t row, std::int64_t column, bool add) {
  __m512i v[kTileRows];
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; ++i) v[i] = _mm512_load_si512(sums + i * kTileRows);
  Transpose16(v);
  const __mmask16 mask = First16(y.cols - column);
  const std::int64_t rows = std::min(kTileRows, y.rows - row);
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; ++i) {
    if (i >= rows) break;
    float* to = &y.at(row + i, column);
    __m512 value = _mm512_castsi512_ps(v[i]);
    if (add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), value);
    _mm512_mask_storeu_ps(to, mask, value);
  }
}

// Computes outputs [first, first + outs) of the rows of x in tiles [first_tile, first_tile + count).
template <class Tiles>
void Task(const PackedRows& x, const Tensor& weight, std::int64_t first, std::int64_t outs,
          std::int64_t first_tile, std::int64_t count, Rows y, bool add) {
  const FlushSubnormals flush;
  static thread_local AlignedVector<std::byte> strips;  // the one in use and the one that comes next
  static thread_local AlignedVector<float> sums;        // [tiles of outputs][count][16][16]
  strips.resize(2 * kStripBytes);
  const std::int64_t sums_stride = count * kTileFloats;
  sums.resize(RoundUp(outs, kStripRows) / kTileRows * sums_stride);
  const std::int64_t in_slab = (outs + kStripRows - 1) / kStripRows, units = in_slab * x.slabs();
  StripUnpacker unpacker(weight);
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
          WriteTile(to + l * sums_stride + r * kTileFloats, y, (first_tile + j + r) * kTileRows,
                    first + row + l * kTileRows, add);
        }
      }
    }
    unpacker.Finish();
  }
}

}  // namespace

void PackedRows::Pack(ConstRows x) {
  rows_ = x.rows;
  cols_ = x.cols;
  const std::int64_t all_steps = (cols_ + kStep - 1) / kStep;
  data_.resize(all_steps * tiles() * kTileBytes);
  ParallelFor(slabs() * tiles(), [&](std::int64_t task) {
    const std::int64_t slab = task / tiles(), tile = task % tiles();
    std::byte* to = data_.data() + Offset(slab, tile);
    for (std::int64_t k = 0; k < steps(slab); ++k) {
      PackTile(x, tile * kTileRows, slab * kDepth + k * kStep, to + k * kTileBytes);
    }
  });
}

template <class Tiles>
void MatMul(const PackedRows& x, const Tensor& weight, Rows y, bool add) {
  const std::int64_t outs = weight.rows();
  if (x.rows() == 0 || outs == 0) return;
  const std::int64_t outs_per_task =
      std::clamp(RoundUp(outs / kTasks, kStripRows), kFewestOutputs, kMostOutputs);
  const std::int64_t out_tasks = (outs + outs_per_task - 1) / outs_per_task;
  // Rows are cut into equal shares, in pairs of tiles.
  const std::int64_t row_tasks = (x.rows() + kRowBlock - 1) / kRowBlock;
  const std::int64_t tiles_per_task = RoundUp((x.tiles() + row_tasks - 1) / row_tasks, 2);
  ParallelFor(out_tasks * row_tasks, [&](std::int64_t task) {
    const std::int64_t first = task / row_tasks * outs_per_task, tile = task % row_tasks * tiles_per_task;
    if (tile >= x.tiles()) return;
    Task<Tiles>(x, weight, first, std::min(outs_per_task, outs - first), tile,
                std::min(tiles_per_task, x.tiles() - tile), y, add);
  });
}

template void MatMul<HardwareTiles>(const PackedRows&, const Tensor&, Rows, bool);
template void MatMul<PlainTiles>(const PackedRows&, const Tensor&, Rows, bool);

}  // namespace longspan::amx
#pragma GCC pop_options
