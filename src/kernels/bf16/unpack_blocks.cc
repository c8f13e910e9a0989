// Codes become BF16 in one of two ways. Codes of few bits are looked up: a group of 32 elements has 16 or 32
// values, which are computed once, and one instruction fetches 32 of them. Codes of more bits are widened and
// scaled one by one.
#include <cstring>

#include "kernels/bf16/unpack.h"
#include "kernels/bf16/unpack_types.h"
#include "tensor/blocks.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {
namespace {

using Vector = __m512;

[[gnu::always_inline]] inline Vector Counting() {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// A block's scale in every lane.
[[gnu::always_inline]] inline Vector Broadcast(const PackedHalf& half) {
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<std::int16_t>(half.bits())));
}

[[gnu::always_inline]] inline __m256i Load32(const std::uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}
// 32 bytes as words.
[[gnu::always_inline]] inline __m512i Words(const std::uint8_t* bytes) {
  return _mm512_cvtepu8_epi16(Load32(bytes));
}

// 16 signed bytes times a scale.
[[gnu::always_inline]] inline Vector Scaled(const std::int8_t* codes, Vector scale) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), scale);
}

// The eight scales of a block of Q4_K or Q5_K times d, then the eight minima times dmin (see UnpackScales).
template <class Block>
[[gnu::always_inline]] inline void ScalesAndMinima(const Block& block, float* to) {
  constexpr std::uint64_t kSix = 0x3f3f3f3f, kFour = 0x0f0f0f0f, kTop = 0x30303030;
  std::uint32_t a, b, c, halves;
  std::memcpy(&a, block.scales.data(), 4);
  std::memcpy(&b, block.scales.data() + 4, 4);
  std::memcpy(&c, block.scales.data() + 8, 4);
  std::memcpy(&halves, &block.d, 4);
  static_assert(offsetof(Block, dmin) == offsetof(Block, d) + 2);
  const std::uint64_t scales = (a & kSix) | ((c & kFour) | (a >> 2 & kTop)) << 32;
  const std::uint64_t minima = (b & kSix) | ((c >> 4 & kFour) | (b >> 2 & kTop)) << 32;
  const __m128i bytes = _mm_set_epi64x(static_cast<std::int64_t>(minima), static_cast<std::int64_t>(scales));
  const __m512i which = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<std::int32_t>(halves)));
  const Vector factors = _mm512_permutexvar_ps(which, _mm512_castps128_ps512(d));
  _mm512_store_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), factors));
}

// scale * code - minimum, for the codes in `codes`.
[[gnu::always_inline]] inline Vector Values(Vector codes, float scale, float minimum) {
  return _mm512_fmsub_ps(codes, _mm512_set1_ps(scale), _mm512_set1_ps(minimum));
}

// A chunk from 16 bytes of nibbles, each of which picks one of 16 values. The low nibbles give the first 16
// words, the high ones the others.
[[gnu::always_inline]] inline __m512i PickedByNibbles(const std::uint8_t* bytes, Vector values) {
  const __m512i table = _mm512_castsi256_si512(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  const __m512i shifts = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
  const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_broadcastsi128_si256(q));
  const __m512i index = _mm512_and_si512(_mm512_srlv_epi16(pairs, shifts), _mm512_set1_epi16(15));
  return _mm512_permutexvar_epi16(index, table);
}

[[gnu::always_inline]] inline Vector Levels(const std::array<std::int8_t, 16>& levels) {
  return Scaled(levels.data(), _mm512_set1_ps(1));
}

}  // namespace

void UnpackQ8_0(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ8_0*>(from);
  for (std::int64_t i = 0; i < elements; i += kBlock, ++block, to += stride) {
    const Vector d = Broadcast(block->d);
    _mm512_store_si512(to, ToBf16(Scaled(block->q.data(), d), Scaled(block->q.data() + 16, d)));
  }
}

void UnpackQ4_0(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ4_0*>(from);
  const Vector codes = _mm512_sub_ps(Counting(), _mm512_set1_ps(8));
  for (std::int64_t i = 0; i < elements; i += kBlock, ++block, to += stride) {
    _mm512_store_si512(to, PickedByNibbles(block->q.data(), _mm512_mul_ps(codes, Broadcast(block->d))));
  }
}

void UnpackQ4_1(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ4_1*>(from);
  for (std::int64_t i = 0; i < elements; i += kBlock, ++block, to += stride) {
    const Vector values = _mm512_fmadd_ps(Counting(), Broadcast(block->d), Broadcast(block->m));
    _mm512_store_si512(to, PickedByNibbles(block->q.data(), values));
  }
}

void UnpackIQ4_NL(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockIQ4_NL*>(from);
  const Vector levels = Levels(kIq4Levels);
  for (std::int64_t i = 0; i < elements; i += kBlock, ++block, to += stride) {
    _mm512_store_si512(to, PickedByNibbles(block->q.data(), _mm512_mul_ps(levels, Broadcast(block->d))));
  }
}

void UnpackIQ4_XS(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockIQ4_XS*>(from);
  const Vector levels = Levels(kIq4Levels);
  for (std::int64_t i = 0; i < elements; i += kSuperBlock, ++block) {
    const Vector d = Broadcast(block->d);
#pragma GCC unroll 8
    for (int sub = 0; sub < 8; ++sub, to += stride) {
      const Vector scale = _mm512_mul_ps(d, _mm512_set1_ps(static_cast<float>(block->Scale(sub))));
      _mm512_store_si512(to, PickedByNibbles(block->q.data() + 16 * sub, _mm512_mul_ps(levels, scale)));
    }
  }
}

void UnpackMXFP4(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockMXFP4*>(from);
  const Vector levels = Levels(kMxfp4Levels);
  for (std::int64_t i = 0; i < elements; i += kBlock, ++block, to += stride) {
    _mm512_store_si512(to,
                       PickedByNibbles(block->q.data(), _mm512_mul_ps(levels, _mm512_set1_ps(block->d()))));
  }
}

void UnpackQ4_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ4_K*>(from);
  const Vector codes = Counting();
  const __m512i fifteen = _mm512_set1_epi16(15), sixteen = _mm512_set1_epi16(16);
  for (std::int64_t i = 0; i < elements; i += kSuperBlock, ++block) {
    alignas(64) float scales[16];
    ScalesAndMinima(*block, scales);
#pragma GCC unroll 4
    for (int pair = 0; pair < 4; ++pair, to += 2 * stride) {
      // One table holds the values of both sub-blocks that share 32 bytes.
      const Vector first = Values(codes, scales[2 * pair], scales[8 + 2 * pair]);
      const Vector second = Values(codes, scales[2 * pair + 1], scales[9 + 2 * pair]);
      const __m512i table = ToBf16(first, second);
      const __m512i q = Words(block->q.data() + 32 * pair);
      const __m512i low = _mm512_and_si512(q, fifteen),
                    high = _mm512_or_si512(_mm512_srli_epi16(q, 4), sixteen);
      _mm512_store_si512(to, _mm512_permutexvar_epi16(low, table));
      _mm512_store_si512(to + stride, _mm512_permutexvar_epi16(high, table));
    }
  }
}

void UnpackQ5_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ5_K*>(from);
  const Vector low_codes = Counting(), high_codes = _mm512_add_ps(low_codes, _mm512_set1_ps(16));
  const __m512i fifteen = _mm512_set1_epi16(15);
  for (std::int64_t i = 0; i < elements; i += kSuperBlock, ++block) {
    alignas(64) float scales[16];
    ScalesAndMinima(*block, scales);
    // Bit s of a byte of `high` must come to bit 4, so words are shifted by one more bit each time.
    __m512i fifth = _mm512_slli_epi16(Words(block->high.data()), 4);
#pragma GCC unroll 8
    for (int sub = 0; sub < 8; ++sub, to += stride) {
      const float scale = scales[sub], minimum = scales[8 + sub];
      const __m512i table = ToBf16(Values(low_codes, scale, minimum), Values(high_codes, scale, minimum));
      __m512i q = Words(block->q.data() + 32 * (sub / 2));
      if (sub % 2 == 1) q = _mm512_srli_epi16(q, 4);
      // Bits 0-3 come from q and bit 4 from `fifth`. The look-up ignores higher bits.
      const __m512i index = _mm512_ternarylogic_epi32(fifteen, q, fifth, 0xca);
      _mm512_store_si512(to, _mm512_permutexvar_epi16(index, table));
      fifth = _mm512_srli_epi16(fifth, 1);
    }
  }
}

void UnpackQ6_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride) {
  const auto* block = reinterpret_cast<const BlockQ6_K*>(from);
  const __m256i fifteen = _mm256_set1_epi8(15), middle = _mm256_set1_epi8(32), pair = _mm256_set1_epi8(0x30);
  for (std::int64_t i = 0; i < elements; i += kSuperBlock, ++block) {
    alignas(64) float scales[16];
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block->scales.data()));
    _mm512_store_ps(scales,
                    _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), Broadcast(block->d)));
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i low0 = Load32(block->low.data() + 64 * half),
                    low1 = Load32(block->low.data() + 64 * half + 32);
      const __m256i high = Load32(block->high.data() + 32 * half);
      // Stripe s of 32 elements has its high bits in bit pair s of `high`; the shifts are by words, so the
      // bits of neighbouring bytes are masked.
      const __m256i stripes[] = {
          _mm256_ternarylogic_epi32(fifteen, low0, _mm256_and_si256(_mm256_slli_epi16(high, 4), pair), 0xca),
          _mm256_ternarylogic_epi32(fifteen, low1, _mm256_and_si256(_mm256_slli_epi16(high, 2), pair), 0xca),
          _mm256_ternarylogic_epi32(fifteen, _mm256_srli_epi16(low0, 4), _mm256_and_si256(high, pair), 0xca),
          _mm256_ternarylogic_epi32(fifteen, _mm256_srli_epi16(low1, 4),
                                    _mm256_and_si256(_mm256_srli_epi16(high, 2), pair), 0xca)};
#pragma GCC unroll 4
      for (int s = 0; s < 4; ++s, to += stride) {
        const __m256i codes = _mm256_sub_epi8(stripes[s], middle);
        const Vector low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(codes)));
        const Vector last = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(codes, 1)));
        const float* scale = scales + 8 * half + 2 * s;
        _mm512_store_si512(to, ToBf16(_mm512_mul_ps(low, _mm512_set1_ps(scale[0])),
                                      _mm512_mul_ps(last, _mm512_set1_ps(scale[1]))));
      }
    }
  }
}

}  // namespace longspan::bf16
#pragma GCC pop_options
