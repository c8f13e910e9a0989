// The arithmetic of attention of few queries (vector/attention_dots-inl.h) on the codes of quantised pages.
#if defined(LONGSPAN_KERNELS_INT8_CODE_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_CODE_DOTS_INL_H_
#undef LONGSPAN_KERNELS_INT8_CODE_DOTS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_CODE_DOTS_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/transpose16.h"
#include "kernels/vector/attention_dots-inl.h"
#include "tensor/blocks.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
// Highway 1.0 leaves VNNI out of this target, though it asks the processor for it.
#pragma GCC push_options
#pragma GCC target("avx512vnni")
namespace longspan::HWY_NAMESPACE {

// Largest head whose scales and weights of a page fit the stack.
inline constexpr std::int64_t kMostCodeDimensions = 256;

// Two blocks of a row of K as unsigned codes, and what was added to each. The order of the 64 codes is the
// same for all rows, and EncodeQuery's.
template <Type kType>
struct PairOfBlocks;

template <>
struct PairOfBlocks<Type::kQ8_0> {
  using Block = BlockQ8_0;
  static constexpr int kAdded = 128;
  // In the order of the row.
  static HWY_INLINE __m512i Codes(const Block* b) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b[0].q.data()));
    const __m512i both = _mm512_inserti64x4(
        _mm512_castsi256_si512(low), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b[1].q.data())), 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  // Where dimensions 16 i to 16 i + 15 stand, in units of 16.
  static constexpr int Place(int i) { return i; }
  // Block b as signed bytes.
  static HWY_INLINE __m256i Signed(const Block& b) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b.q.data()));
  }
};

template <>
struct PairOfBlocks<Type::kQ4_0> {
  using Block = BlockQ4_0;
  static constexpr int kAdded = 8;
  // The low nibbles of the first block, those of the second, then the high nibbles.
  static HWY_INLINE __m512i Codes(const Block* b) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b[0].q.data()));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b[1].q.data()));
    const __m256i pairs = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(pairs), _mm256_srli_epi16(pairs, 4), 1);
    return _mm512_and_si512(both, _mm512_set1_epi8(15));
  }
  static constexpr int Place(int i) { return i % 2 * 2 + i / 2; }
  static HWY_INLINE __m256i Signed(const Block& b) {
    const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b.q.data()));
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(pairs), _mm_srli_epi16(pairs, 4), 1);
    return _mm256_sub_epi8(_mm256_and_si256(both, _mm256_set1_epi8(15)), _mm256_set1_epi8(8));
  }
};

// sum += the products of bytes, k unsigned; of signed words. Written out, because GCC 12 copies each sum to
// another register and back around its own intrinsics.
HWY_INLINE void AddByteProducts(__m512i& sum, __m512i k, const std::int32_t& q) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(k), "m"(q));
}
HWY_INLINE void AddByteProducts(__m512i& sum, __m512i k, __m512i q) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(k), "v"(q));
}
HWY_INLINE void AddWordProducts(__m512i& sum, __m512i w, __m512i v) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(v));
}

// Pages have room for whole blocks of tokens, so rows past the last are read like others. Their scales count
// as zero.
template <Type kType, int kQueriesAtOnce>
class CodeDots {
 public:
  static constexpr int kQueries = kQueriesAtOnce;

  CodeDots(const AlignedVector<float>& queries, std::int64_t groups, std::int64_t head_dim)
      : groups_(groups),
        head_dim_(head_dim),
        codes_(queries.size() / 4),
        minus_added_(queries.size() / kBlock),
        factors_(static_cast<std::size_t>(groups * kQueries)) {
    for (std::int64_t c = 0; c < groups * kQueries; ++c) EncodeQuery(queries.data() + c * head_dim, c);
  }

  void Scores(const KvBlock& block, const RowStream& stream, float* scores) const {
    BlockScales scales;
    LoadScales(block.k, block.count, scales);
    for (std::int64_t t = 0; t < block.count; t += kLanes) {
      stream.Prefetch(block.k.row(t), kLanes * block.k.row_bytes);
      for (std::int64_t b = 0; b < blocks(); b += 2) AddScores(block, t, b, scales, scores + t);
    }
  }

  void AddValues(const KvBlock& block, const RowStream& stream, const float* p, float* sums) const {
    BlockScales scales;
    LoadScales(block.v, block.count, scales);
    alignas(64) float largest[kMostBlocks];
    for (std::int64_t b = 0; b < blocks(); ++b) largest[b] = Normalize(scales[b]);
    for (std::int64_t g = 0; g < groups_; ++g) {
      Weights weights;
      float factors[kMostBlocks][kQueries];
      for (int c = 0; c < kQueries; ++c) {
        alignas(64) float row[kKvBlock];
        std::copy_n(p + (g * kQueries + c) * kKvBlock, kKvBlock, row);
        const float factor = Normalize(row) / kLargestWeight;
        for (std::int64_t b = 0; b < blocks(); ++b) {
          factors[b][c] = factor * largest[b];
          RoundWeights(row, scales[b], weights[b][c]);
        }
      }
      float* to = sums + g * kQueries * head_dim_;
      for (std::int64_t b = 0; b < blocks(); b += 2)
        AddColumns(block, b, g == 0 && b == 0 ? &stream : nullptr, weights + b, factors + b, to + b * kBlock);
    }
  }

 private:
  using Pair = PairOfBlocks<kType>;
  using Block = typename Pair::Block;
  static constexpr std::int64_t kMostBlocks = kMostCodeDimensions / kBlock;
  static constexpr float kLargestWeight = 32767;
  using BlockScales = float[kMostBlocks][kKvBlock];
  // Of two tokens each.
  using Weights = std::int32_t[kMostBlocks][kQueries][kKvBlock / 2];

  std::int64_t blocks() const { return head_dim_ / kBlock; }
  static const Block* Row(const KvBlock::RowsOfType& rows, std::int64_t i) {
    return reinterpret_cast<const Block*>(rows.row(i));
  }

  void EncodeQuery(const float* q, std::int64_t c) {
    const FloatTag d;
    FloatVec largest = hn::Zero(d), total = hn::Zero(d);
    for (std::int64_t i = 0; i < head_dim_; i += kLanes) {
      const FloatVec x = hn::LoadU(d, q + i);
      largest = hn::Max(largest, hn::Abs(x));
      total = hn::Add(total, x);
    }
    const float bound = hn::GetLane(hn::MaxOfLanes(d, largest));
    constexpr float kLeast = 1e-36f;  // below it the inverse overflows
    const FloatVec most = hn::Set(d, 127.0f), inverse = hn::Set(d, bound > kLeast ? 127.0f / bound : 0.0f);
    for (std::int64_t i = 0; i < head_dim_; i += kLanes) {
      const FloatVec x = hn::Min(hn::Mul(hn::LoadU(d, q + i), inverse), most);
      const __m512i rounded = _mm512_cvtps_epi32(x.raw);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(&codes_[(c * head_dim_ + i) / 4]),
                       _mm512_cvtepi32_epi8(rounded));
      minus_added_[(c * head_dim_ + i) / kBlock] -= Pair::kAdded * _mm512_reduce_add_epi32(rounded);
    }
    // What is not a number is 127 above, and shows in the factor.
    factors_[c] = bound / 127 + 0 * hn::GetLane(hn::SumOfLanes(d, total));
  }

  // Adds what two blocks, `first` and the next, contribute to the scores [groups * kQueries, kKvBlock] of
  // kLanes rows of K, the first at `token`.
  void AddScores(const KvBlock& block, std::int64_t token, std::int64_t first, const BlockScales& scales,
                 float* scores) const {
    // A lane is a token, a vector four dimensions.
    __m512i k[kLanes];
#pragma GCC unroll 16
    for (int t = 0; t < kLanes; ++t) k[t] = Pair::Codes(Row(block.k, token + t) + first);
    Transpose16(k);
    const __m512 scale[] = {_mm512_load_ps(scales[first] + token), _mm512_load_ps(scales[first + 1] + token)};
    for (std::int64_t c = 0; c < groups_ * kQueries; c += kQueries) {
      __m512i dots[kQueries][2];
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        const std::int32_t* minus = &minus_added_[(c + i) * blocks() + first];
        dots[i][0] = _mm512_set1_epi32(minus[0]);
        dots[i][1] = _mm512_set1_epi32(minus[1]);
      }
      // Eight words of each block, four for each of its halves.
#pragma GCC unroll 8
      for (int word = 0; word < 8; ++word) {
#pragma GCC unroll 2
        for (int b = 0; b < 2; ++b) {
#pragma GCC unroll 4
          for (int i = 0; i < kQueries; ++i) {
            AddByteProducts(dots[i][b], k[4 * Pair::Place(2 * b + word / 4) + word % 4],
                            codes_[((c + i) * blocks() + first + b) * 8 + word]);
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        float* to = scores + (c + i) * kKvBlock;
        const __m512 before = first == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(to);
        const __m512 one = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][0]), scale[0], before);
        const __m512 both = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[i][1]), scale[1], one);
        const bool last = first + 2 == blocks();
        _mm512_storeu_ps(to, last ? _mm512_mul_ps(both, _mm512_set1_ps(factors_[c + i])) : both);
      }
    }
  }

  // The scales of rows of K or V, zero past the last row.
  void LoadScales(const KvBlock::RowsOfType& rows, std::int64_t count, BlockScales& to) const {
    // All are copied before the first is converted, because a load that spans many fresh stores has to wait
    // for them.
    alignas(64) std::uint16_t halves[kMostBlocks][kKvBlock];
    for (std::int64_t b = 0; b < blocks(); ++b) {
      const std::byte* at = rows.data + b * sizeof(Block);
#pragma GCC unroll 8
      for (std::int64_t t = 0; t < kKvBlock; ++t, at += rows.row_bytes)
        halves[b][t] = reinterpret_cast<const Block*>(at)->d.bits();
    }
    for (std::int64_t b = 0; b < blocks(); ++b) {
#pragma GCC unroll 4
      for (std::int64_t t = 0; t < kKvBlock; t += kLanes) {
        const __m256i sixteen = _mm256_load_si256(reinterpret_cast<const __m256i*>(halves[b] + t));
        const auto used = static_cast<__mmask16>((1u << std::clamp<std::int64_t>(count - t, 0, kLanes)) - 1);
        _mm512_store_ps(to[b] + t, _mm512_maskz_cvtph_ps(used, sixteen));
      }
    }
  }

  // Divides numbers by the largest of their magnitudes, and returns it. Scales of Q4_0 may be negative.
  static HWY_INLINE float Normalize(float (&x)[kKvBlock]) {
    const __m512 v[] = {_mm512_load_ps(x), _mm512_load_ps(x + 16), _mm512_load_ps(x + 32),
                        _mm512_load_ps(x + 48)};
    const auto larger = [](__m512 a, __m512 b) __attribute__((always_inline)) {
      return _mm512_range_ps(a, b, 0b1011);  // the maximum of magnitudes, without a sign
    };
    const float largest = _mm512_reduce_max_ps(larger(larger(v[0], v[1]), larger(v[2], v[3])));
    const __m512 inverse = _mm512_set1_ps(largest > 0 ? 1 / largest : 0.0f);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) _mm512_store_ps(x + 16 * i, _mm512_mul_ps(v[i], inverse));
    return largest;
  }

  // The products of p and scales, both in [-1, 1], as multiples of 1 / kLargestWeight.
  static HWY_INLINE void RoundWeights(const float (&p)[kKvBlock], const float (&scales)[kKvBlock],
                                      std::int32_t (&to)[kKvBlock / 2]) {
    const __m512 largest = _mm512_set1_ps(kLargestWeight);
    for (std::int64_t t = 0; t < kKvBlock; t += 2 * kLanes) {
      const auto product = [&](std::int64_t i) __attribute__((always_inline)) {
        const __m512 w = _mm512_mul_ps(_mm512_load_ps(p + i), _mm512_load_ps(scales + i));
        return _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(w, largest)));
      };
      const __m512i words = _mm512_inserti64x4(_mm512_castsi256_si512(product(t)), product(t + kLanes), 1);
      _mm512_store_si512(to + t / 2, words);
    }
  }

  // sums [kQueries, head_dim] += the weights' products with two blocks of V, the first of them `first`. Two
  // tokens are multiplied at once, their codes side by side as 16-bit numbers. A page's sums fit 32 bits.
  void AddColumns(const KvBlock& block, std::int64_t first, const RowStream* stream,
                  const std::int32_t (*weights)[kQueries][kKvBlock / 2], const float (*factors)[kQueries],
                  float* sums) const {
    __m512i dots[kQueries][2][2];
#pragma GCC unroll 4
    for (int c = 0; c < kQueries; ++c) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) dots[c][i / 2][i % 2] = _mm512_setzero_si512();
    }
    for (std::int64_t t = 0; t < block.count; t += 2) {
      const Block *even = Row(block.v, t) + first, *odd = Row(block.v, t + 1) + first;
      if (stream != nullptr) stream->Prefetch(block.v.row(t), 2 * block.v.row_bytes);
#pragma GCC unroll 2
      for (int b = 0; b < 2; ++b) {
        const __m256i x = Pair::Signed(even[b]), y = Pair::Signed(odd[b]);
        // Of dimensions 0-7 and 16-23, then of 8-15 and 24-31.
        const __m512i low = _mm512_cvtepi8_epi16(_mm256_unpacklo_epi8(x, y));
        const __m512i high = _mm512_cvtepi8_epi16(_mm256_unpackhi_epi8(x, y));
#pragma GCC unroll 4
        for (int c = 0; c < kQueries; ++c) {
          const __m512i w = _mm512_set1_epi32(weights[b][c][t / 2]);
          AddWordProducts(dots[c][b][0], w, low);
          AddWordProducts(dots[c][b][1], w, high);
        }
      }
    }
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma GCC unroll 4
    for (int c = 0; c < kQueries; ++c) {
#pragma GCC unroll 2
      for (int b = 0; b < 2; ++b) {
        const __m512 factor = _mm512_set1_ps(factors[b][c]);
        const __m512i in_order[] = {_mm512_permutex2var_epi32(dots[c][b][0], low, dots[c][b][1]),
                                    _mm512_permutex2var_epi32(dots[c][b][0], high, dots[c][b][1])};
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          float* to = sums + c * head_dim_ + b * kBlock + i * kLanes;
          _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(in_order[i]), factor, _mm512_loadu_ps(to)));
        }
      }
    }
  }

  const std::int64_t groups_, head_dim_;
  AlignedVector<std::int32_t> codes_;        // [columns, head_dim / 4] of four codes each
  AlignedVector<std::int32_t> minus_added_;  // [columns, blocks]: -kAdded times the sum of the codes
  AlignedVector<float> factors_;             // [columns]: a query's scale
};

}  // namespace longspan::HWY_NAMESPACE
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
