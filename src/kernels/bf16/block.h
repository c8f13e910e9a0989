// The one inner loop of everything on tiles: up to 2 x 2 tiles of sums stay in registers while the inner
// dimension runs. Four sums, two left and two right operands use all eight tiles, and no other shape needs
// fewer loads for its products. Included where the compiler may use AVX-512 with BF16, so that what runs
// between products can be inlined.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/bf16/tiles.h"

namespace longspan::bf16 {

// Tile (i, k) of a left operand is at data + i * tile_bytes + k * step_bytes, its rows row_bytes apart.
struct LeftTiles {
  const std::byte* data;
  std::int64_t row_bytes, step_bytes, tile_bytes;
};
// Tile (k, j) of a right operand is at data + j * tile_bytes + k * kTileBytes.
struct RightTiles {
  const std::byte* data;
  std::int64_t tile_bytes;
};
// Tile (i, j) of sums is at data + i * row_stride + j * kTileFloats, rows of 16 floats one after another.
struct SumTiles {
  float* data;
  std::int64_t row_stride;
};

// Which operand is read again soon, and may stay in the first-level cache; the other streams past it.
enum class Keep { kLeft, kRight };

// sums [kRows, kColumns] of tiles = (or, with `add`, +=) left [kRows, steps] times right [steps, kColumns].
// After each step `between` may do other work, which runs beside the tile unit's.
template <int kRows, int kColumns, Keep kKeep, class Tiles, class Between>
[[gnu::always_inline]] inline void Block(Tiles& tiles, std::int64_t steps, const LeftTiles& left,
                                         const RightTiles& right, const SumTiles& sums, bool add,
                                         Between&& between) {
  static_assert(kRows >= 1 && kRows <= 2 && kColumns >= 1 && kColumns <= 2);
  float* const sum = sums.data;
  float* const below = sums.data + sums.row_stride;
  if (add) {
    tiles.template Load<0>(sum, kTileRowBytes);
    if constexpr (kColumns > 1) tiles.template Load<1>(sum + kTileFloats, kTileRowBytes);
    if constexpr (kRows > 1) tiles.template Load<2>(below, kTileRowBytes);
    if constexpr (kRows > 1 && kColumns > 1) tiles.template Load<3>(below + kTileFloats, kTileRowBytes);
  } else {
    tiles.template Zero<0>();
    tiles.template Zero<1>();
    tiles.template Zero<2>();
    tiles.template Zero<3>();
  }
  const auto load = [&]<int kTile, bool kKept>(const std::byte* from, std::int64_t row_bytes) {
    if constexpr (kKept)
      tiles.template Load<kTile>(from, row_bytes);
    else
      tiles.template LoadOnce<kTile>(from, row_bytes);
  };
  const auto load_left = [&]<int kTile>(const std::byte* from) {
    load.template operator()<kTile, kKeep == Keep::kLeft>(from, left.row_bytes);
  };
  const auto load_right = [&]<int kTile>(const std::byte* from) {
    load.template operator()<kTile, kKeep == Keep::kRight>(from, kTileRowBytes);
  };
  const std::byte *a = left.data, *b = right.data;
  for (std::int64_t k = 0; k < steps; ++k, a += left.step_bytes, b += kTileBytes) {
    load_left.template operator()<4>(a);
    load_right.template operator()<6>(b);
    tiles.template Dot<0, 4, 6>();
    if constexpr (kColumns > 1) {
      load_right.template operator()<7>(b + right.tile_bytes);
      tiles.template Dot<1, 4, 7>();
    }
    if constexpr (kRows > 1) {
      load_left.template operator()<5>(a + left.tile_bytes);
      tiles.template Dot<2, 5, 6>();
      if constexpr (kColumns > 1) tiles.template Dot<3, 5, 7>();
    }
    between();
  }
  tiles.template Store<0>(sum, kTileRowBytes);
  if constexpr (kColumns > 1) tiles.template Store<1>(sum + kTileFloats, kTileRowBytes);
  if constexpr (kRows > 1) tiles.template Store<2>(below, kTileRowBytes);
  if constexpr (kRows > 1 && kColumns > 1) tiles.template Store<3>(below + kTileFloats, kTileRowBytes);
}

[[gnu::always_inline]] inline __m512bh AsPairs(__m512i v) { return reinterpret_cast<__m512bh>(v); }

// The same with vdpbf16ps, eight rows of sums at a time: enough independent sums to hide its latency, and
// each pair of the right operand is loaded once for all of them. Pairs are summed in order, the second of a
// pair first, so results differ from the tile unit's in their last bits.
template <int kRows, int kColumns, Keep kKeep, class Between>
[[gnu::always_inline]] inline void Block(VectorTiles&, std::int64_t steps, const LeftTiles& left,
                                         const RightTiles& right, const SumTiles& sums, bool add,
                                         Between&& between) {
  static_assert(kRows >= 1 && kRows <= 2 && kColumns >= 1 && kColumns <= 2);
  constexpr int kSumRows = 8;
  for (std::int64_t first = 0; first < kRows * kTileRows; first += kSumRows) {
    const std::int64_t tile = first / kTileRows, row = first % kTileRows;
    float* const to = sums.data + tile * sums.row_stride + row * kTileRows;
    const std::byte* a = left.data + tile * left.tile_bytes + row * left.row_bytes;
    const std::byte* b = right.data;
    __m512 sum[kSumRows][kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < kSumRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j)
        sum[i][j] = add ? _mm512_load_ps(to + j * kTileFloats + i * kTileRows) : _mm512_setzero_ps();
    }
    for (std::int64_t k = 0; k < steps; ++k, a += left.step_bytes, b += kTileBytes) {
      for (std::int64_t pair = 0; pair < kTileRows; ++pair) {
        __m512bh columns[kColumns];
#pragma GCC unroll 2
        for (int j = 0; j < kColumns; ++j)
          columns[j] = AsPairs(_mm512_load_si512(b + j * right.tile_bytes + pair * kTileRowBytes));
#pragma GCC unroll 8
        for (int i = 0; i < kSumRows; ++i) {
          std::int32_t word;
          std::memcpy(&word, a + i * left.row_bytes + pair * 4, sizeof(word));
          const __m512bh rows = AsPairs(_mm512_set1_epi32(word));
#pragma GCC unroll 2
          for (int j = 0; j < kColumns; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], rows, columns[j]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kSumRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kColumns; ++j) _mm512_store_ps(to + j * kTileFloats + i * kTileRows, sum[i][j]);
    }
  }
  for (std::int64_t k = 0; k < steps; ++k) between();
}

}  // namespace longspan::bf16
