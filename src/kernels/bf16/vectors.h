// A few helpers over AVX-512, for the files of kernels/bf16. Included where the compiler may use AVX-512
// (between a `#pragma GCC target` and its end). Everything here is inlined, because the rest of the program
// may not use AVX-512.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/bf16/tiles.h"
#include "kernels/transpose16.h"
#include "tensor/rows.h"

namespace longspan::bf16 {

// Results that are subnormal become zero while this lives. The tile unit does so anyway, and a vector of
// powers that underflow is fifty times as slow otherwise. Subnormal operands are kept, because decoding F16
// needs them.
class FlushSubnormals {
 public:
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero); }
  ~FlushSubnormals() { _mm_setcsr(before_); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000;
  const unsigned before_;
};

// 32 floats as BF16, in order.
[[gnu::always_inline]] inline __m512i ToBf16(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// Finite a and b as BF16, element by element in pairs. Ties go up: in integers this is cheaper than the
// conversion, whose result would still have to be interleaved.
[[gnu::always_inline]] inline __m512i PairsOf(__m512 a, __m512 b) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(a), half), 16);
  const __m512i high = _mm512_add_epi32(_mm512_castps_si512(b), half);
  return _mm512_mask_mov_epi16(low, 0xaaaaaaaa, high);
}

// The first `count` of 16 lanes; all if `count` is larger, none if it is negative.
[[gnu::always_inline]] inline __mmask16 First16(std::int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}
// A block of 32 rows of 32 BF16 becomes two left operands, its columns 0 to 15 at `to` and 16 to 31 at
// `below`. row(i) is row i.
template <class Row>
[[gnu::always_inline]] inline void TransposeBlock(Row&& row, std::byte* to, std::byte* below) {
  // Two rows make a word of each column, and words are transposed. Interleaving takes the columns apart by
  // fours: the low half has those with column & 4 = 0.
  for (std::int64_t half = 0; half < 2; ++half) {
    __m512i words[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const __m512i a = row(2 * i), b = row(2 * i + 1);
      words[i] = half == 0 ? _mm512_unpacklo_epi16(a, b) : _mm512_unpackhi_epi16(a, b);
    }
    Transpose16(words);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const std::int64_t column = i / 4 * 8 + half * 4 + i % 4;
      _mm512_store_si512((column < kTileRows ? to : below) + column % kTileRows * kTileRowBytes, words[i]);
    }
  }
}

// HadamardTransform of kv_layout.h, to the bit, for n a power of two from 32; scratch [n]. Every stage adds
// and subtracts neighbours and puts sums into the first half and differences into the second: after all
// stages the order is the old one (Pease 1968).
inline void Hadamard(std::int64_t n, float* x, float* scratch) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
  float *from = x, *to = scratch;
  for (std::int64_t stage = 1; stage < n; stage *= 2) {
    for (std::int64_t i = 0; i < n / 2; i += 16) {
      const __m512 low = _mm512_loadu_ps(from + 2 * i), high = _mm512_loadu_ps(from + 2 * i + 16);
      const __m512 a = _mm512_permutex2var_ps(low, even, high), b = _mm512_permutex2var_ps(low, odd, high);
      _mm512_storeu_ps(to + i, _mm512_add_ps(a, b));
      _mm512_storeu_ps(to + n / 2 + i, _mm512_sub_ps(a, b));
    }
    std::swap(from, to);
  }
  const __m512 norm = _mm512_set1_ps(1.0f / std::sqrt(static_cast<float>(n)));
  for (std::int64_t i = 0; i < n; i += 16)
    _mm512_storeu_ps(x + i, _mm512_mul_ps(_mm512_loadu_ps(from + i), norm));
}

// 16 columns of 32 rows of x times `factor`, from its row `row` and column `column` on, as a right operand
// whose pairs are of rows; zero past the last.
inline void PackColumnsTile(ConstRows x, std::int64_t row, std::int64_t column, std::byte* to,
                            float factor = 1) {
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                              23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __mmask16 mask = First16(x.cols - column);
  const __m512 factors = _mm512_set1_ps(factor);
  const auto values = [&](std::int64_t i) {
    return row + i < x.rows
               ? _mm512_mul_ps(factors, _mm512_maskz_loadu_ps(mask, x.data + (row + i) * x.stride + column))
               : _mm512_setzero_ps();
  };
  for (int i = 0; i < kTileRows; ++i) {
    const __m512i both = ToBf16(values(2 * i), values(2 * i + 1));
    _mm512_store_si512(to + i * kTileRowBytes, _mm512_permutexvar_epi16(interleave, both));
  }
}

// 16 rows of 32 columns of x times `factor`, from its row `row` and column `column` on, as a right operand;
// zero past the last.
inline void PackTile(ConstRows x, std::int64_t row, std::int64_t column, std::byte* to, float factor = 1) {
  const std::int64_t left = x.cols - column;
  const __mmask16 low = First16(left), high = First16(left - 16);
  const __m512 factors = _mm512_set1_ps(factor);
  __m512i v[kTileRows];
  for (int i = 0; i < kTileRows; ++i) {
    if (row + i >= x.rows) {
      v[i] = _mm512_setzero_si512();
      continue;
    }
    const float* from = x.data + (row + i) * x.stride + column;
    v[i] = ToBf16(_mm512_mul_ps(factors, _mm512_maskz_loadu_ps(low, from)),
                  _mm512_mul_ps(factors, _mm512_maskz_loadu_ps(high, from + 16)));
  }
  Transpose16(v);
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; ++i) _mm512_store_si512(to + i * kTileRowBytes, v[i]);
}

// Writes rows [16] of 16 floats into y (or, with `add`, adds them) from its row `row` and column `column` on,
// as far as y has them.
[[gnu::always_inline]] inline void WriteRows(const __m512i* v, Rows y, std::int64_t row, std::int64_t column,
                                             bool add) {
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

[[gnu::always_inline]] inline void LoadTile(const float* sums, __m512i* v) {
#pragma GCC unroll 16
  for (int i = 0; i < kTileRows; ++i) v[i] = _mm512_load_si512(sums + i * kTileRows);
}

// Writes a tile of sums as WriteRows does.
inline void WriteTile(const float* sums, Rows y, std::int64_t row, std::int64_t column, bool add) {
  __m512i v[kTileRows];
  LoadTile(sums, v);
  WriteRows(v, y, row, column, add);
}

// The same with the tile's transpose.
inline void WriteTransposed(const float* sums, Rows y, std::int64_t row, std::int64_t column, bool add) {
  __m512i v[kTileRows];
  LoadTile(sums, v);
  Transpose16(v);
  WriteRows(v, y, row, column, add);
}

}  // namespace longspan::bf16
