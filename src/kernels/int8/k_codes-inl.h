// Codes and scales of the K types, as codes-inl.h describes them. A slab is one block.
#if defined(LONGSPAN_KERNELS_INT8_K_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/int8/codes-inl.h"
#include "tensor/blocks.h"
#include "tensor/type.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// The eight 6-bit scales and minima of Q4_K and Q5_K, whose bytes begin at byte 4 (see tensor/blocks.h), for
// kLanes rows at once: what is done there to bytes, four to a word.
HWY_INLINE void SixBitScales(const RowWords& words, float* scales, float* minima) {
  const WordTag d;
  const WordVec halves = words.At(0), a = words.At(4), b = words.At(8), c = words.At(12);
  const auto six = hn::Set(d, 0x3f3f3f3f), four = hn::Set(d, 0x0f0f0f0f), top = hn::Set(d, 0x30303030);
  const FloatVec scale = LowHalf(halves), minimum = HighHalf(halves);
  StoreBytes(hn::And(a, six), scale, 0, scales);
  StoreBytes(hn::And(b, six), minimum, 0, minima);
  StoreBytes(hn::Or(hn::And(c, four), hn::And(hn::ShiftRight<2>(a), top)), scale, 4, scales);
  StoreBytes(hn::Or(hn::And(hn::ShiftRight<4>(c), four), hn::And(hn::ShiftRight<2>(b), top)), minimum, 4,
             minima);
}

// Bit pairs of Q2_K and Q3_K: each half of a block has 32 bytes of codes, for four stripes of 32 elements.
template <class V>
HWY_INLINE V BitPair(V q, int stripe) {
  const V shifted = stripe == 0   ? q
                    : stripe == 1 ? hn::ShiftRight<2>(q)
                    : stripe == 2 ? hn::ShiftRight<4>(q)
                                  : hn::ShiftRight<6>(q);
  return hn::And(shifted, hn::Set(ByteTag<32>(), 3));
}

struct Q2_KCodes {
  static constexpr Type kType = Type::kQ2_K;
  static constexpr int kGroup = 16, kOffset = 0, kLargest = 3;
  static constexpr bool kMinima = true;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockQ2_K);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    for (int half = 0; half < 2; ++half) {
      const auto q = LoadBytes<32>(slab + offsetof(BlockQ2_K, q) + 32 * half);
      for (int stripe = 0; stripe < 4; ++stripe)
        StoreCodes<32>(BitPair(q, stripe), codes + 128 * half + 32 * stripe);
    }
  }
  static void Scales(const RowWords& words, std::int64_t, float* scales, float* minima) {
    const WordVec halves = words.At(offsetof(BlockQ2_K, d));
    const FloatVec scale = LowHalf(halves), minimum = HighHalf(halves);
    const WordVec four = hn::Set(WordTag(), 0x0f0f0f0f);
    for (int i = 0; i < 16; i += 4) {
      const WordVec both = words.At(static_cast<std::int64_t>(offsetof(BlockQ2_K, scales)) + i);
      StoreBytes(hn::And(both, four), scale, i, scales);
      StoreBytes(hn::And(hn::ShiftRight<4>(both), four), minimum, i, minima);
    }
  }
};

struct Q3_KCodes {
  static constexpr Type kType = Type::kQ3_K;
  static constexpr int kGroup = 16, kOffset = 4, kLargest = 7;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockQ3_K);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    const auto high = LoadBytes<32>(slab + offsetof(BlockQ3_K, high));
    for (int half = 0; half < 2; ++half) {
      const auto q = LoadBytes<32>(slab + offsetof(BlockQ3_K, q) + 32 * half);
      for (int stripe = 0; stripe < 4; ++stripe) {
        StoreCodes<32>(hn::Or(BitPair(q, stripe), BitAs<32>(high, 4 * half + stripe, 4)),
                       codes + 128 * half + 32 * stripe);
      }
    }
  }
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    const WordTag d;
    // As in Q6_K, the F16 is last.
    const FloatVec scale = HighHalf(words.At(offsetof(BlockQ3_K, d) - 2));
    const WordVec a = words.At(offsetof(BlockQ3_K, scales)), b = words.At(offsetof(BlockQ3_K, scales) + 4);
    const WordVec c = words.At(offsetof(BlockQ3_K, scales) + 8);
    const WordVec four = hn::Set(d, 0x0f0f0f0f), two = hn::Set(d, 0x03030303);
    const auto store = [&](WordVec low, WordVec high, int first) {
      const WordVec six = hn::Or(hn::And(low, four), hn::ShiftLeft<4>(hn::And(high, two)));
      StoreBytes(six, scale, first, scales);
    };
    store(a, c, 0);
    store(b, hn::ShiftRight<2>(c), 4);
    store(hn::ShiftRight<4>(a), hn::ShiftRight<4>(c), 8);
    store(hn::ShiftRight<4>(b), hn::ShiftRight<6>(c), 12);
    // d times a small integer is exact, and so is the difference.
    const FloatVec offset = hn::Mul(scale, hn::Set(FloatTag(), 32.0f));
    for (int i = 0; i < 16; ++i)
      StoreLanes(hn::Sub(hn::Load(FloatTag(), scales + i * kLanes), offset), i, scales);
  }
};

struct Q4_KCodes {
  static constexpr Type kType = Type::kQ4_K;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 15;
  static constexpr bool kMinima = true;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockQ4_K);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    for (int pair = 0; pair < 4; ++pair) {
      const auto q = LoadBytes<32>(slab + offsetof(BlockQ4_K, q) + 32 * pair);
      StoreCodes<32>(LowNibbles<32>(q), codes + 64 * pair);
      StoreCodes<32>(HighNibbles(q), codes + 64 * pair + 32);
    }
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    return Masked(ShiftedTwice(slab + offsetof(BlockQ4_K, q) + 32 * i, 0, 4), 15);
  }
#endif
  static void Scales(const RowWords& words, std::int64_t, float* scales, float* minima) {
    SixBitScales(words, scales, minima);
  }
};

struct Q5_KCodes {
  static constexpr Type kType = Type::kQ5_K;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 31;
  static constexpr bool kMinima = true;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockQ5_K);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    const auto high = LoadBytes<32>(slab + offsetof(BlockQ5_K, high));
    for (int pair = 0; pair < 4; ++pair) {
      const auto q = LoadBytes<32>(slab + offsetof(BlockQ5_K, q) + 32 * pair);
      StoreCodes<32>(hn::Or(LowNibbles<32>(q), BitAs<32>(high, 2 * pair, 16)), codes + 64 * pair);
      StoreCodes<32>(hn::Or(HighNibbles(q), BitAs<32>(high, 2 * pair + 1, 16)), codes + 64 * pair + 32);
    }
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    const __m512i low = Masked(ShiftedTwice(slab + offsetof(BlockQ5_K, q) + 32 * i, 0, 4), 15);
    const __m512i high = Masked(ShiftedTwice(slab + offsetof(BlockQ5_K, high), 2 * i, 2 * i + 1), 1);
    return _mm512_or_si512(low, _mm512_slli_epi16(high, 4));
  }
#endif
  static void Scales(const RowWords& words, std::int64_t, float* scales, float* minima) {
    SixBitScales(words, scales, minima);
  }
};

struct Q6_KCodes {
  static constexpr Type kType = Type::kQ6_K;
  static constexpr int kGroup = 16, kOffset = 32, kLargest = 63;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockQ6_K);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    const ByteTag<32> d;
    for (int half = 0; half < 2; ++half) {
      const auto low = LoadBytes<32>(slab + offsetof(BlockQ6_K, low) + 64 * half);
      const auto low2 = LoadBytes<32>(slab + offsetof(BlockQ6_K, low) + 64 * half + 32);
      const auto high = LoadBytes<32>(slab + offsetof(BlockQ6_K, high) + 32 * half);
      // Bit pair i of `high`, moved to bits 4 and 5.
      const auto pair0 = hn::ShiftLeft<4>(hn::And(high, hn::Set(d, 0x03)));
      const auto pair1 = hn::ShiftLeft<2>(hn::And(high, hn::Set(d, 0x0c)));
      const auto pair2 = hn::And(high, hn::Set(d, 0x30));
      const auto pair3 = hn::ShiftRight<2>(hn::And(high, hn::Set(d, 0xc0)));
      std::uint8_t* to = codes + 128 * half;
      StoreCodes<32>(hn::Or(LowNibbles<32>(low), pair0), to);
      StoreCodes<32>(hn::Or(LowNibbles<32>(low2), pair1), to + 32);
      StoreCodes<32>(hn::Or(HighNibbles(low), pair2), to + 64);
      StoreCodes<32>(hn::Or(HighNibbles(low2), pair3), to + 96);
    }
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    const int half = i / 2, nibble = i % 2;
    const __m512i low = _mm512_loadu_si512(slab + offsetof(BlockQ6_K, low) + 64 * half);
    const __m512i high =
        ShiftedTwice(slab + offsetof(BlockQ6_K, high) + 32 * half, 4 * nibble, 4 * nibble + 2);
    return _mm512_or_si512(Masked(_mm512_srli_epi16(low, static_cast<unsigned>(4 * nibble)), 15),
                           _mm512_slli_epi16(Masked(high, 3), 4));
  }
#endif
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    // The block ends with its F16: read it with the two bytes before, not with two past the end.
    const FloatVec d = HighHalf(words.At(offsetof(BlockQ6_K, d) - 2));
    for (int i = 0; i < 4; ++i) {
      const WordVec four = words.At(static_cast<std::int64_t>(offsetof(BlockQ6_K, scales)) + 4 * i);
      StoreLanes(hn::Mul(d, SignedByteOf<0>(four)), 4 * i, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<1>(four)), 4 * i + 1, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<2>(four)), 4 * i + 2, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<3>(four)), 4 * i + 3, scales);
    }
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
