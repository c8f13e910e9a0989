// The arithmetic of attention of many queries (vector/attention_prefill-inl.h) on the codes of quantised
// pages. A lane is a query. K's codes meet all lanes four at a time, V's as pairs of two tokens.
#if defined(LONGSPAN_KERNELS_INT8_CODE_PREFILL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_CODE_PREFILL_INL_H_
#undef LONGSPAN_KERNELS_INT8_CODE_PREFILL_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_CODE_PREFILL_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "base/memory.h"
#include "kernels/int8/code_dots-inl.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_prefill-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC push_options
#pragma GCC target("avx512vnni")
namespace longspan::HWY_NAMESPACE {

// One KV block of one head as panels of queries meet it.
class CodeBlock {
 public:
  static constexpr std::int64_t kMostBlocks = kMostCodeDimensions / kBlock;

  template <Type kType>
  void Load(const KvBlock& block, std::int64_t head_dim) {
    using Pair = PairOfBlocks<kType>;
    using Block = typename Pair::Block;
    blocks_ = head_dim / kBlock;
    words_ = head_dim / 4;
    count_ = block.count;
    for (std::int64_t t = 0; t < kKvBlock; ++t) {
      const auto* k = reinterpret_cast<const Block*>(block.k.row(t));
      const auto* v = reinterpret_cast<const Block*>(block.v.row(t));
      for (std::int64_t b = 0; b < blocks_; ++b) {
        const __m256i codes = Pair::Signed(k[b]);
        _mm256_store_si256(reinterpret_cast<__m256i*>(&keys_[t * words_ + b * 8]), codes);
        // The queries' codes are 128 too large.
        const __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        minus_[t][b] = -128 * (_mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1));
        const bool used = t < count_;
        key_scales_[t][b] = used ? _cvtsh_ss(k[b].d.bits()) : 0.0f;
        value_scales_[b][t] = used ? _cvtsh_ss(v[b].d.bits()) : 0.0f;
      }
    }
    for (std::int64_t t = 0; t < kKvBlock; t += 2) {
      const auto* even = reinterpret_cast<const Block*>(block.v.row(t));
      const auto* odd = reinterpret_cast<const Block*>(block.v.row(t + 1));
      for (std::int64_t b = 0; b < blocks_; ++b) {
        const __m512i x = _mm512_cvtepi8_epi16(Pair::Signed(even[b]));
        const __m512i y = _mm512_cvtepi8_epi16(Pair::Signed(odd[b]));
        const __m512i low = _mm512_setr_epi32(
            0x00200000, 0x00210001, 0x00220002, 0x00230003, 0x00240004, 0x00250005, 0x00260006, 0x00270007,
            0x00280008, 0x00290009, 0x002a000a, 0x002b000b, 0x002c000c, 0x002d000d, 0x002e000e, 0x002f000f);
        const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
        _mm512_store_si512(&values_[(t / 2 * blocks_ + b) * kBlock], _mm512_permutex2var_epi16(x, low, y));
        _mm512_store_si512(&values_[(t / 2 * blocks_ + b) * kBlock + 16],
                           _mm512_permutex2var_epi16(x, high, y));
      }
    }
    for (std::int64_t b = 0; b < blocks_; ++b) {
      largest_[b] = 0;
      for (const float scale : value_scales_[b]) largest_[b] = std::max(largest_[b], std::abs(scale));
      const float inverse = largest_[b] > 0 ? 1 / largest_[b] : 0.0f;
      for (float& scale : value_scales_[b]) scale *= inverse;
    }
  }

  // scores [count, kPanel] of columns with codes [head_dim / 4, kPanel] of four dimensions, and a scale each.
  void Scores(const std::int32_t* queries, const float* factors, float* scores) const {
    std::int64_t t = 0;
    for (; t + kKeys <= count_; t += kKeys) ScoreRows<kKeys>(t, queries, factors, scores);
    for (; t < count_; ++t) ScoreRows<1>(t, queries, factors, scores);
  }

  // out [head_dim, kPanel] += V^T p for numerators p [count, kPanel].
  void AddValues(const float* p, float* out) const {
    alignas(64) std::int32_t weights[kKvBlock / 2][kPanel];
    alignas(64) float normal[kKvBlock][kPanel];
    alignas(64) float largest[kPanel];
    Normalize(p, normal, largest);
    for (std::int64_t b = 0; b < blocks_; ++b) {
      for (std::int64_t half = 0; half < kPanel; half += kLanes) {
        for (std::int64_t t = 0; t < kKvBlock; t += 2) {
          const auto rounded = [&](std::int64_t i) __attribute__((always_inline)) {
            const __m512 scale = _mm512_set1_ps(value_scales_[b][i]);
            return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(normal[i] + half), scale));
          };
          const __m512i both =
              _mm512_mask_mov_epi16(rounded(t), 0xaaaaaaaa, _mm512_slli_epi32(rounded(t + 1), 16));
          _mm512_store_si512(weights[t / 2] + half, both);
        }
      }
      for (std::int64_t d = 0; d < kBlock; d += kDims) AddDims(b, d, weights, largest, out);
    }
  }

 private:
  static constexpr std::int64_t kKeys = 6, kDims = 8;
  static constexpr float kLargestWeight = 32767;

  template <int kRows>
  void ScoreRows(std::int64_t t, const std::int32_t* queries, const float* factors, float* scores) const {
    __m512 sums[kRows][2];
    for (std::int64_t b = 0; b < blocks_; ++b) {
      __m512i dots[kRows][2];
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) dots[i][0] = dots[i][1] = _mm512_set1_epi32(minus_[t + i][b]);
#pragma GCC unroll 8
      for (int word = 0; word < 8; ++word) {
        const std::int32_t* q = queries + (b * 8 + word) * kPanel;
        const __m512i low = _mm512_load_si512(q), high = _mm512_load_si512(q + kLanes);
#pragma GCC unroll 6
        for (int i = 0; i < kRows; ++i) {
          const __m512i k = _mm512_set1_epi32(keys_[(t + i) * words_ + b * 8 + word]);
          AddByteProducts(dots[i][0], low, k);
          AddByteProducts(dots[i][1], high, k);
        }
      }
#pragma GCC unroll 6
      for (int i = 0; i < kRows; ++i) {
        const __m512 scale = _mm512_set1_ps(key_scales_[t + i][b]);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const __m512 dot = _mm512_cvtepi32_ps(dots[i][half]);
          sums[i][half] = b == 0 ? _mm512_mul_ps(dot, scale) : _mm512_fmadd_ps(dot, scale, sums[i][half]);
        }
      }
    }
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m512 factor = _mm512_loadu_ps(factors + half * kLanes);
        _mm512_storeu_ps(scores + (t + i) * kPanel + half * kLanes, _mm512_mul_ps(sums[i][half], factor));
      }
    }
  }

  // Each column times kLargestWeight over its largest number, zero past the last row.
  void Normalize(const float* p, float (&normal)[kKvBlock][kPanel], float (&largest)[kPanel]) const {
    for (std::int64_t half = 0; half < kPanel; half += kLanes) {
      __m512 most = _mm512_setzero_ps();
      for (std::int64_t t = 0; t < count_; ++t)
        most = _mm512_max_ps(most, _mm512_loadu_ps(p + t * kPanel + half));
      _mm512_store_ps(largest + half, most);
      const __mmask16 some = _mm512_cmp_ps_mask(most, _mm512_setzero_ps(), _CMP_GT_OQ);
      const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(kLargestWeight), most);
      for (std::int64_t t = 0; t < kKvBlock; ++t) {
        const __m512 x = t < count_ ? _mm512_loadu_ps(p + t * kPanel + half) : _mm512_setzero_ps();
        _mm512_store_ps(normal[t] + half, _mm512_mul_ps(x, inverse));
      }
    }
  }

  // Dimensions [d, d + kDims) of block b. A page's sums fit 32 bits.
  void AddDims(std::int64_t b, std::int64_t d, const std::int32_t (&weights)[kKvBlock / 2][kPanel],
               const float (&largest)[kPanel], float* out) const {
    __m512i dots[kDims][2];
#pragma GCC unroll 8
    for (int i = 0; i < kDims; ++i) dots[i][0] = dots[i][1] = _mm512_setzero_si512();
    for (std::int64_t t = 0; t < (count_ + 1) / 2; ++t) {
      const __m512i low = _mm512_load_si512(weights[t]), high = _mm512_load_si512(weights[t] + kLanes);
      const std::int32_t* v = &values_[(t * blocks_ + b) * kBlock + d];
#pragma GCC unroll 8
      for (int i = 0; i < kDims; ++i) {
        const __m512i pair = _mm512_set1_epi32(v[i]);
        AddWordProducts(dots[i][0], low, pair);
        AddWordProducts(dots[i][1], high, pair);
      }
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512 unit = _mm512_set1_ps(largest_[b] / kLargestWeight);
      const __m512 factor = _mm512_mul_ps(_mm512_load_ps(largest + half * kLanes), unit);
#pragma GCC unroll 8
      for (int i = 0; i < kDims; ++i) {
        float* to = out + (b * kBlock + d + i) * kPanel + half * kLanes;
        _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][half]), factor, _mm512_loadu_ps(to)));
      }
    }
  }

  std::int64_t blocks_ = 0, words_ = 0, count_ = 0;
  alignas(64) std::int32_t keys_[kKvBlock * kMostCodeDimensions / 4];  // [tokens, words] of four codes
  alignas(64)
      std::int32_t values_[kKvBlock / 2 * kMostCodeDimensions];  // [pairs of tokens, head_dim], 16 bits each
  alignas(64) std::int32_t minus_[kKvBlock][kMostBlocks];        // -128 times the sum of a block's codes
  alignas(64) float key_scales_[kKvBlock][kMostBlocks];
  alignas(64) float value_scales_[kMostBlocks][kKvBlock];  // relative to the largest
  float largest_[kMostBlocks];
};

// A panel of queries in 8 bits, 128 too large: [head_dim / 4, kPanel] of four dimensions, and a scale for
// each column.
HWY_INLINE void EncodePanel(std::int64_t head_dim, const float* panel, std::int32_t* codes, float* factors) {
  for (std::int64_t half = 0; half < kPanel; half += kLanes) {
    const float* from = panel + half;
    __m512 largest = _mm512_setzero_ps(), total = _mm512_setzero_ps();
    for (std::int64_t d = 0; d < head_dim; ++d) {
      const __m512 x = _mm512_loadu_ps(from + d * kPanel);
      largest = _mm512_max_ps(largest, _mm512_abs_ps(x));
      total = _mm512_add_ps(total, x);
    }
    const __mmask16 some = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(127), largest);
    for (std::int64_t d = 0; d < head_dim; d += 4) {
      __m512i four = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(from + (d + i) * kPanel), inverse);
        const __m512i code = _mm512_and_si512(_mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(128)),
                                              _mm512_set1_epi32(255));
        four = _mm512_or_si512(four, _mm512_sllv_epi32(code, _mm512_set1_epi32(8 * i)));
      }
      _mm512_store_si512(codes + d / 4 * kPanel + half, four);
    }
    // What is not a number shows in the factor.
    const __m512 factor = _mm512_mul_ps(largest, _mm512_set1_ps(1.0f / 127));
    _mm512_storeu_ps(factors + half, _mm512_fmadd_ps(total, _mm512_setzero_ps(), factor));
  }
}

// Panels of queries and a block of pages as codes (see FloatPanels).
class CodePanels {
 public:
  CodePanels(std::int64_t head_dim, std::int64_t panels)
      : head_dim_(head_dim),
        queries_(static_cast<std::size_t>(panels * head_dim / 4 * kPanel)),
        factors_(static_cast<std::size_t>(panels * kPanel)),
        block_(1) {}

  void SetQueries(std::int64_t panel, const float* queries) {
    EncodePanel(head_dim_, queries, &queries_[panel * head_dim_ / 4 * kPanel], &factors_[panel * kPanel]);
  }
  void SetBlock(const KvBlock& block) {
    if (block.type == Type::kQ8_0)
      block_.front().Load<Type::kQ8_0>(block, head_dim_);
    else
      block_.front().Load<Type::kQ4_0>(block, head_dim_);
  }
  void Scores(std::int64_t panel, float* scores) const {
    block_.front().Scores(&queries_[panel * head_dim_ / 4 * kPanel], &factors_[panel * kPanel], scores);
  }
  void AddValues(const float* p, float* out) const { block_.front().AddValues(p, out); }

 private:
  const std::int64_t head_dim_;
  AlignedVector<std::int32_t> queries_;  // [panels, head_dim / 4, kPanel] of four dimensions each
  AlignedVector<float> factors_;         // [panels, kPanel]
  AlignedVector<CodeBlock> block_;       // one, on the heap for its size
};

}  // namespace longspan::HWY_NAMESPACE
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
