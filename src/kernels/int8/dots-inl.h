// Integer dot products of bytes: the operations that differ between instruction sets.
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

// dot[r][s] += the products of kSteps words of row r of x (rows 256 apart) with the codes(s, step) of strip
// s.
template <class W, int kRows, int kStrips, int kSteps, class Codes>
HWY_INLINE void DotWords(const std::int8_t* x, Codes&& codes, IntVec (&dot)[kRows][kStrips]) {
#pragma GCC unroll 8
  for (int step = 0; step < kSteps; ++step) {
    WordVec w[kStrips];
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) w[s] = codes(s, step);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512i four = BroadcastWord(x + 256 * r + 4 * step).raw;
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) dot[r][s].raw = _mm512_dpbusd_epi32(dot[r][s].raw, w[s].raw, four);
    }
  }
}

#else  // AVX2

// Sums of two products, 16 bits wide. A signed code's sign is moved to the activation, because one factor
// must be unsigned. Both products are then at most 127 * 128, and two of them still fit.
template <class W>
HWY_INLINE __m256i PairProducts(__m256i codes, __m256i x) {
  if constexpr (W::kLargest == 255)
    return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
  return _mm256_maddubs_epi16(codes, x);
}

// As above, with pair sums added up in 16 bits for as long as they cannot overflow.
template <class W, int kRows, int kStrips, int kSteps, class Codes>
HWY_INLINE void DotWords(const std::int8_t* x, Codes&& codes, IntVec (&dot)[kRows][kStrips]) {
  constexpr int kLargest = W::kLargest == 255 ? 128 : W::kLargest;
  constexpr int kSafe = 32767 / (2 * kLargest * 127);
  constexpr int kRun = kSafe < kSteps ? (kSafe >= 4 ? 4 : kSafe >= 2 ? 2 : 1) : kSteps;
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
  for (int run = 0; run < kSteps; run += kRun) {
    __m256i pairs[kRows][kStrips];
#pragma GCC unroll 8
    for (int step = 0; step < kRun; ++step) {
      WordVec w[kStrips];
#pragma GCC unroll 2
      for (int s = 0; s < kStrips; ++s) w[s] = codes(s, run + step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256i four = BroadcastWord(x + 256 * r + 4 * (run + step)).raw;
#pragma GCC unroll 2
        for (int s = 0; s < kStrips; ++s) {
          const __m256i products = PairProducts<W>(w[s].raw, four);
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
