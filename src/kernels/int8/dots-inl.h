// Integer dot products of bytes: the few operations that differ between instruction sets.
#if defined(LONGSPAN_KERNELS_INT8_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_DOTS_INL_H_
#undef LONGSPAN_KERNELS_INT8_DOTS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_DOTS_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/int8/ahead-inl.h"
#include "kernels/int8/codes-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
// Highway 1.0 leaves VNNI out of this target, though it asks the processor for it.
#pragma GCC push_options
#pragma GCC target("avx512vnni")
#endif
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

HWY_INLINE IntVec BroadcastWord(const std::int8_t* four) {
  std::int32_t word;
  std::memcpy(&word, four, sizeof(word));
  return hn::Set(IntTag(), word);
}

#if HWY_TARGET <= HWY_AVX3_DL

// Each row of kLanes words becomes a column.
HWY_INLINE void Transpose(WordVec (&v)[16]) {
  __m512i a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(v[i].raw, v[i + 1].raw);
    a[i + 1] = _mm512_unpackhi_epi32(v[i].raw, v[i + 1].raw);
  }
  // Now 128-bit blocks of b[4 i + c] hold columns c, c + 4, c + 8, c + 12 of the rows 4 i to 4 i + 3.
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i low0 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x44),
                  high0 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xee);
    const __m512i low1 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x44);
    const __m512i high1 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xee);
    v[c] = WordVec{_mm512_shuffle_i32x4(low0, low1, 0x88)};
    v[4 + c] = WordVec{_mm512_shuffle_i32x4(low0, low1, 0xdd)};
    v[8 + c] = WordVec{_mm512_shuffle_i32x4(high0, high1, 0x88)};
    v[12 + c] = WordVec{_mm512_shuffle_i32x4(high0, high1, 0xdd)};
  }
}

template <class W>
inline constexpr bool kHasQuarters = requires(const std::uint8_t* slab) {
  W::Quarter(slab, 0);
};

// Transposes the words of a whole slab of 16 rows to [64, 16]. Rows from `rows` on repeat the last one. Does
// nothing and returns false if the type has no quarters.
template <class W>
HWY_INLINE bool TransposeQuarters(const std::uint8_t* data, std::int64_t row_bytes, std::int64_t rows,
                                  std::uint32_t* to, Ahead& ahead) {
  if constexpr (kHasQuarters<W>) {
    for (int i = 0; i < 4; ++i) {
      ahead.Ask<kAsk<W, 4>>();
      WordVec v[16];
#pragma GCC unroll 16
      for (std::int64_t row = 0; row < 16; ++row) {
        v[row] = WordVec{W::Quarter(data + (row < rows ? row : rows - 1) * row_bytes, i)};
      }
      Transpose(v);
#pragma GCC unroll 16
      for (int word = 0; word < 16; ++word) hn::Store(v[word], WordTag(), to + (16 * i + word) * 16);
    }
  }
  return kHasQuarters<W>;
}

// The codes of one row in one slab, ready to be multiplied.
template <class W>
class RowCodes {
 public:
  RowCodes(const std::uint8_t* slab, std::int64_t groups) {
    if constexpr (kHasQuarters<W>) {
      if (groups == 8) {
        for (int i = 0; i < 4; ++i) codes_[i] = W::Quarter(slab, i);
        return;
      }
    }
    alignas(64) std::uint8_t bytes[256];
    if (groups < 8) std::memset(bytes, 0, sizeof(bytes));
    W::Codes(slab, groups, bytes);
    for (int i = 0; i < 4; ++i) {
      // Loads two halves, as they were stored a moment ago, because a load across two stores would have to
      // wait for the cache.
      const auto* halves = reinterpret_cast<const __m256i*>(bytes + 64 * i);
      codes_[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_load_si256(halves)),
                                     _mm256_load_si256(halves + 1), 1);
    }
  }

  // The dots of each 16 codes with x [256], in the order of DotColumn.
  HWY_INLINE void Dots(const std::int8_t* x, std::int32_t* dots) const {
    __m512i a[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      a[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes_[i], _mm512_loadu_si512(x + 64 * i));
    // Four words of each 128-bit block are one sum: add them for all four vectors at once.
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    _mm512_store_si512(dots, _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd)));
  }

 private:
  __m512i codes_[4];
};
// Where Dots puts the dot of the elements [16 i, 16 i + 16).
constexpr std::int64_t DotColumn(std::int64_t i) { return i % 4 * 4 + i / 4; }

HWY_INLINE void TransposeDots(const std::int32_t* dots, IntVec (&columns)[16]) {
  WordVec v[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) v[i] = hn::BitCast(WordTag(), hn::Load(IntTag(), dots + 16 * i));
  Transpose(v);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) columns[i] = hn::BitCast(IntTag(), v[i]);
}

// dot[r][s] += the products of kSteps words of row r of x (rows 256 apart) with those words of panel s.
template <class W, int kRows, int kStrips, int kSteps>
HWY_INLINE void DotPanels(const std::int8_t* x, const std::uint8_t* const* panels, std::int64_t offset,
                          IntVec (&dot)[kRows][kStrips]) {
#pragma GCC unroll 8
  for (int step = 0; step < kSteps; ++step) {
    __m512i codes[kStrips];
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) codes[s] = _mm512_load_si512(panels[s] + offset + 64 * step);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512i four = BroadcastWord(x + 256 * r + 4 * step).raw;
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) dot[r][s].raw = _mm512_dpbusd_epi32(dot[r][s].raw, codes[s], four);
    }
  }
}

#else  // AVX2

HWY_INLINE void Transpose(WordVec (&v)[8]) {
  __m256i a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i].raw, v[i + 1].raw);
    a[i + 1] = _mm256_unpackhi_epi32(v[i].raw, v[i + 1].raw);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    v[c] = WordVec{_mm256_permute2x128_si256(b[c], b[4 + c], 0x20)};
    v[4 + c] = WordVec{_mm256_permute2x128_si256(b[c], b[4 + c], 0x31)};
  }
}

// Sums of two products, 16 bits wide. A signed code's sign is moved to the activation, because one factor
// must be unsigned. Both products are then at most 127 * 128, and two of them still fit.
template <class W>
HWY_INLINE __m256i PairProducts(__m256i codes, __m256i x) {
  if constexpr (W::kLargest == 255)
    return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
  return _mm256_maddubs_epi16(codes, x);
}

template <class W>
class RowCodes {
 public:
  RowCodes(const std::uint8_t* slab, std::int64_t groups) {
    if (groups < 8) std::memset(codes_, 0, sizeof(codes_));
    W::Codes(slab, groups, codes_);
  }

  HWY_INLINE void Dots(const std::int8_t* x, std::int32_t* dots) const {
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m256i a[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const std::int64_t at = 128 * half + 32 * i;
        a[i] = _mm256_madd_epi16(
            PairProducts<W>(_mm256_load_si256(reinterpret_cast<const __m256i*>(codes_ + at)),
                            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + at))),
            ones);
      }
      const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(a[2], a[3]));
      _mm256_store_si256(reinterpret_cast<__m256i*>(dots + 8 * half), sums);
    }
  }

 private:
  alignas(32) std::uint8_t codes_[256];
};
constexpr std::int64_t DotColumn(std::int64_t i) { return i / 8 * 8 + i % 2 * 4 + i % 8 / 2; }

HWY_INLINE void TransposeDots(const std::int32_t* dots, IntVec (&columns)[16]) {
  for (int half = 0; half < 2; ++half) {
    WordVec v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) v[i] = hn::BitCast(WordTag(), hn::Load(IntTag(), dots + 16 * i + 8 * half));
    Transpose(v);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) columns[8 * half + i] = hn::BitCast(IntTag(), v[i]);
  }
}

// As above, with pair sums added up in 16 bits for as long as they cannot overflow.
template <class W, int kRows, int kStrips, int kSteps>
HWY_INLINE void DotPanels(const std::int8_t* x, const std::uint8_t* const* panels, std::int64_t offset,
                          IntVec (&dot)[kRows][kStrips]) {
  constexpr int kLargest = W::kLargest == 255 ? 128 : W::kLargest;
  constexpr int kSafe = 32767 / (2 * kLargest * 127);
  constexpr int kRun = kSafe < kSteps ? (kSafe >= 4 ? 4 : kSafe >= 2 ? 2 : 1) : kSteps;
  const __m256i ones = _mm256_set1_epi16(1);
  for (int run = 0; run < kSteps; run += kRun) {
    __m256i pairs[kRows][kStrips];
#pragma GCC unroll 8
    for (int step = 0; step < kRun; ++step) {
      __m256i codes[kStrips];
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) {
        codes[s] =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(panels[s] + offset + 32 * (run + step)));
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i four = BroadcastWord(x + 256 * r + 4 * (run + step)).raw;
#pragma GCC unroll 2
        for (int s = 0; s < kStrips; ++s) {
          const __m256i products = PairProducts<W>(codes[s], four);
          pairs[r][s] = step == 0 ? products : _mm256_add_epi16(pairs[r][s], products);
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) {
        dot[r][s].raw = _mm256_add_epi32(dot[r][s].raw, _mm256_madd_epi16(pairs[r][s], ones));
      }
    }
  }
}

#endif
#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
