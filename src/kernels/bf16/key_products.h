// The two kinds of products of attention, between a block of 64 keys and a panel of 32 columns (queries). A
// product over dimensions gives numbers [64 keys, 32 columns], as tiles [4][2]. A product over keys gives
// numbers [width, 32 columns], as tiles [width / 16][2]; width is head_dim, rounded up to whole steps.
//
// Included where the compiler may use AVX-512.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/bf16/block.h"
#include "kernels/bf16/softmax.h"
#include "kernels/bf16/tiles.h"
#include "kernels/bf16/vectors.h"
#include "kernels/kv_layout.h"

namespace longspan::bf16 {

inline constexpr std::int64_t kKeySteps = kKvBlock / kStep, kKeyTiles = kKvBlock / kTileRows;

// Rows of BF16, zero from head_dim to width.
struct Bf16Rows {
  const std::byte* data;
  std::int64_t row_bytes;
};

// The rows of a block's `count` tokens become the left operand of products over keys: [width / 16][2 steps of
// 32 keys][16 dimensions][32 keys]. Keys past `count` are zero, because a zero in the right operand would not
// hide a NaN.
inline void TransposeRows(const Bf16Rows& rows, std::int64_t count, std::int64_t width, std::byte* to) {
  for (std::int64_t step = 0; step < kKeySteps; ++step) {
    for (std::int64_t first = 0; first < width; first += kStep) {
      const auto row = [&](std::int64_t i) {
        const std::int64_t key = step * kStep + i;
        return key < count ? _mm512_loadu_si512(rows.data + key * rows.row_bytes + first * 2)
                           : _mm512_setzero_si512();
      };
      std::byte* tile = to + (first / kTileRows * kKeySteps + step) * kTileBytes;
      TransposeBlock(row, tile, tile + kKeySteps * kTileBytes);
    }
  }
}

// products [64 keys, 32 columns] = rows [64 keys, width] times a panel [2 tiles of columns][steps], the right
// operand. `between` as in Block.
template <class Tiles, class Between>
[[gnu::always_inline]] inline void KeysTimesPanel(Tiles& tiles, std::int64_t steps, const Bf16Rows& rows,
                                                  const std::byte* panel, float* products,
                                                  Between&& between) {
  for (std::int64_t tile = 0; tile < kKeyTiles; tile += 2) {
    const LeftTiles left{rows.data + tile * kTileRows * rows.row_bytes, rows.row_bytes, kTileRowBytes,
                         kTileRows * rows.row_bytes};
    Block<2, 2, Keep::kRight>(tiles, steps, left, {panel, steps * kTileBytes},
                              {products + tile * 2 * kTileFloats, 2 * kTileFloats}, false, between);
  }
}

// sums [width, 32 columns] += what TransposeRows made, times a right operand [2 tiles of columns][2 steps of
// 32 keys]. sum_tiles is width / 16.
template <class Tiles>
void AddOverKeys(Tiles& tiles, std::int64_t sum_tiles, const std::byte* transposed, const std::byte* right,
                 float* sums) {
  for (std::int64_t tile = 0; tile < sum_tiles; tile += 2) {
    const LeftTiles left{transposed + tile * kKeySteps * kTileBytes, kTileRowBytes, kTileBytes,
                         kKeySteps * kTileBytes};
    Block<2, 2, Keep::kRight>(tiles, kKeySteps, left, {right, kKeySteps * kTileBytes},
                              {sums + tile * 2 * kTileFloats, 2 * kTileFloats}, true, [] {});
  }
}

}  // namespace longspan::bf16
