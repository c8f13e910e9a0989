// The online softmax between the two products of attention (Milakov & Gimelshein 2018), down the columns of
// scores.
//
// Scores are [64 keys, 32 columns] in tiles [4][2] of [16 keys][16 columns], in powers of two. They become
// numerators of probabilities as right operands in BF16: [2 tiles of columns][2 steps of 32 keys][16 pairs of
// keys][16 columns][2].
//
// Included where the compiler may use AVX-512.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/bf16/tiles.h"
#include "kernels/bf16/vectors.h"
#include "kernels/kv_layout.h"

namespace longspan::bf16 {

inline constexpr std::int64_t kPanel = 2 * kTileRows;  // columns
inline constexpr std::int64_t kScoreFloats = kKvBlock * kPanel;
inline constexpr std::int64_t kNumeratorBytes = kScoreFloats * 2;

// A score that the mask hides, and the maximum before any score: both finite, and the first so far below the
// second that its power is zero.
inline constexpr float kMasked = -1e38f;
inline constexpr float kNoMaximum = -1e30f;

// 2^x for x up to 127, with a relative error of 7.5e-5. That suffices because probabilities are about to be
// rounded to 2^-9. For x far below zero the result is zero (which is fast under FlushSubnormals).
[[gnu::always_inline]] inline __m512 Exp2(__m512 x) {
  constexpr int kLessFloor = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
  const __m512 f = _mm512_reduce_ps(x, kLessFloor);  // x - floor(x)
  // The cubic with the smallest largest relative error on [0, 1] (Remez).
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.0780245227f), f, _mm512_set1_ps(0.226067155f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.695833541f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.999925219f));
  return _mm512_scalef_ps(p, x);  // times 2^floor(x)
}

// Which keys each of 32 columns sees: a column is one query of one head.
struct SeenKeys {
  alignas(64) std::array<std::int32_t, kPanel> start, order;  // the first and last key seen

  std::int32_t first_seen, last_seen;      // by any column
  std::int32_t first_common, last_common;  // by every column, if first_common <= last_common

  // What follows from start and order.
  void Begin() {
    first_seen = *std::ranges::min_element(start);
    last_seen = *std::ranges::max_element(order);
    first_common = *std::ranges::max_element(start);
    last_common = *std::ranges::min_element(order);
  }
  bool SeesSome(std::int64_t first) const { return first <= last_seen && first + kKvBlock > first_seen; }
  bool SeesAll(std::int64_t first) const {
    return first >= first_common && first + kKvBlock - 1 <= last_common;
  }
};

// 32 columns and their softmax so far.
struct Panel : SeenKeys {
  alignas(64) std::array<float, kPanel> maximum, total;

  void Begin() {
    SeenKeys::Begin();
    maximum.fill(kNoMaximum);
    total.fill(0);
  }
};

inline constexpr std::uint32_t kAllColumns = ~std::uint32_t{0};

// Hides the keys that columns do not see from the scores of the keys first, first + 1, ...; columns whose bit
// is not in `seeing` see none of them.
inline void MaskScores(const SeenKeys& panel, std::int64_t first, std::uint32_t seeing, float* scores) {
  const __m512 masked = _mm512_set1_ps(kMasked);
  for (std::int64_t half = 0; half < kPanel; half += kTileRows) {
    const __m512i start = _mm512_load_si512(&panel.start[half]);
    const __m512i order = _mm512_load_si512(&panel.order[half]);
    const auto blind = static_cast<__mmask16>(~(seeing >> half));
    for (std::int64_t j = 0; j < kKvBlock; ++j) {
      const __m512i key = _mm512_set1_epi32(static_cast<std::int32_t>(first + j));
      const __mmask16 hidden =
          blind | _mm512_cmpgt_epi32_mask(key, order) | _mm512_cmplt_epi32_mask(key, start);
      float* at = scores + j / kTileRows * 2 * kTileFloats + half * kTileRows + j % kTileRows * kTileRows;
      _mm512_mask_store_ps(at, hidden, masked);
    }
  }
}

// Raises the columns' maxima where the scores ask for it, and shrinks what was summed before: the totals and
// sums [sum_tiles][2 tiles of columns][16][16]. A maximum only keeps powers in range. It stays while scores
// exceed it by at most kSlack, and after the first blocks it nearly always does.
inline void RaiseMaximum(Panel& panel, const float* scores, std::int64_t sum_tiles, float* sums) {
  constexpr float kSlack = 8;
  for (std::int64_t half = 0; half < 2; ++half) {
    const float* from = scores + half * kTileFloats;
    __m512 largest[4];
#pragma GCC unroll 4
    for (int tile = 0; tile < 4; ++tile) {
      const float* rows = from + tile * 2 * kTileFloats;
      __m512 a = _mm512_load_ps(rows), b = _mm512_load_ps(rows + kTileRows);
#pragma GCC unroll 8
      for (int i = 2; i < kTileRows; i += 2) {
        a = _mm512_max_ps(a, _mm512_load_ps(rows + i * kTileRows));
        b = _mm512_max_ps(b, _mm512_load_ps(rows + (i + 1) * kTileRows));
      }
      largest[tile] = _mm512_max_ps(a, b);
    }
    const __m512 now =
        _mm512_max_ps(_mm512_max_ps(largest[0], largest[1]), _mm512_max_ps(largest[2], largest[3]));
    float* const maximum = &panel.maximum[half * kTileRows];
    float* const total = &panel.total[half * kTileRows];
    const __m512 before = _mm512_load_ps(maximum);
    const __mmask16 raised =
        _mm512_cmp_ps_mask(now, _mm512_add_ps(before, _mm512_set1_ps(kSlack)), _CMP_GT_OQ);
    if (raised == 0) continue;
    const __m512 after = _mm512_mask_mov_ps(before, raised, now);
    const __m512 shrink = _mm512_mask_mov_ps(_mm512_set1_ps(1), raised, Exp2(_mm512_sub_ps(before, after)));
    _mm512_store_ps(maximum, after);
    _mm512_store_ps(total, _mm512_mul_ps(_mm512_load_ps(total), shrink));
    for (std::int64_t tile = 0; tile < sum_tiles; ++tile) {
      float* to = sums + (2 * tile + half) * kTileFloats;
#pragma GCC unroll 16
      for (int i = 0; i < kTileRows; ++i) {
        _mm512_store_ps(to + i * kTileRows, _mm512_mul_ps(_mm512_load_ps(to + i * kTileRows), shrink));
      }
    }
  }
}

// Makes the numerators of one block, two keys a step, so that it can be done between products of tiles.
class Numerators {
 public:
  static constexpr std::int64_t kSteps = kKvBlock / 2;

  // `out` gets the numerators, and the panel's totals get their sums.
  Numerators(Panel& panel, const float* scores, std::byte* out) : panel_(panel), scores_(scores), out_(out) {}

  // The next `count` steps, or what is left of them. Sums are in registers meanwhile.
  [[gnu::always_inline]] void Advance(std::int64_t count) {
    const std::int64_t end = std::min(next_ + count, kSteps);
    const float* maximum = panel_.maximum.data();
    float* total = panel_.total.data();
    const __m512 maximum0 = _mm512_load_ps(maximum), maximum1 = _mm512_load_ps(maximum + kTileRows);
    __m512 total0 = _mm512_load_ps(total), total1 = _mm512_load_ps(total + kTileRows);
    for (; next_ < end; ++next_) {
      const std::int64_t tile = next_ / (kTileRows / 2), row = next_ % (kTileRows / 2) * 2;
      const float* from = scores_ + tile * 2 * kTileFloats + row * kTileRows;
      std::byte* to = out_ + next_ * kTileRowBytes;
      TwoKeys(from, maximum0, total0, to);
      TwoKeys(from + kTileFloats, maximum1, total1, to + 2 * kTileBytes);
    }
    _mm512_store_ps(total, total0);
    _mm512_store_ps(total + kTileRows, total1);
  }

 private:
  // Two keys of 16 columns.
  [[gnu::always_inline]] static void TwoKeys(const float* from, __m512 maximum, __m512& total,
                                             std::byte* to) {
    const __m512 a = Exp2(_mm512_sub_ps(_mm512_load_ps(from), maximum));
    const __m512 b = Exp2(_mm512_sub_ps(_mm512_load_ps(from + kTileRows), maximum));
    total = _mm512_add_ps(total, _mm512_add_ps(a, b));
    _mm512_store_si512(to, PairsOf(a, b));
  }

  Panel& panel_;
  const float* scores_;
  std::byte* out_;
  std::int64_t next_ = 0;
};

}  // namespace longspan::bf16
