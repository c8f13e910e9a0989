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
// kLanes rows at once. A word does for four bytes what is done there for one.
HWY_INLINE void SixBitScales(const RowWords& words, float* scales, float* minima) {
  const WordTag d;
  WordVec begin[4];
  words.FourAt(0, begin);
  const auto [halves, a, b, c] = begin;
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

HWY_INLINE WordVec WordsAt(const std::uint32_t* words, int i) {
  return hn::Load(WordTag(), words + i * kLanes);
}
// Stores four codes, whose bits are those of kLow from `low` and those of kHigh from `high`.
template <std::uint32_t kLow, std::uint32_t kHigh>
HWY_INLINE void StoreBits(WordVec low, WordVec high, std::uint32_t* codes, int i) {
  const WordTag d;
  const WordVec of_high = hn::And(high, hn::Set(d, kHigh * 0x01010101u));
  hn::Store(hn::OrAnd(of_high, low, hn::Set(d, kLow * 0x01010101u)), d, codes + i * kLanes);
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
    // As in Q6_K, the F16 ends the block, so it is read with the two bytes before it.
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
  static constexpr int kWords = 32, kWordsAt = offsetof(BlockQ4_K, q);
  static void Unpack(const std::uint32_t* words, std::uint32_t* codes) {
    const WordTag d;
    const WordVec four = hn::Set(d, 0x0f0f0f0f);
    for (int pair = 0; pair < 4; ++pair) {
      for (int i = 0; i < 8; ++i) {
        const WordVec q = WordsAt(words, 8 * pair + i);
        hn::Store(hn::And(q, four), d, codes + (16 * pair + i) * kLanes);
        hn::Store(hn::And(hn::ShiftRight<4>(q), four), d, codes + (16 * pair + 8 + i) * kLanes);
      }
    }
  }
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
    const __m512i low = ShiftedTwice(slab + offsetof(BlockQ5_K, q) + 32 * i, 0, 4);
    const __m512i high = ShiftedTwice(slab + offsetof(BlockQ5_K, high), 2 * i - 4, 2 * i - 3);
    return Masked(Selected(15, low, high), 31);
  }
#endif
  static constexpr int kWords = 40, kWordsAt = offsetof(BlockQ5_K, high);
  static void Unpack(const std::uint32_t* words, std::uint32_t* codes) {
    for (int i = 0; i < 8; ++i) {
      WordVec high = hn::RotateRight<28>(WordsAt(words, i));
      for (int pair = 0; pair < 4; ++pair) {
        const WordVec q = WordsAt(words, 8 + 8 * pair + i);
        StoreBits<15, 16>(q, high, codes, 16 * pair + i);
        high = hn::RotateRight<1>(high);
        StoreBits<15, 16>(hn::ShiftRight<4>(q), high, codes, 16 * pair + 8 + i);
        high = hn::RotateRight<1>(high);
      }
    }
  }
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
        ShiftedTwice(slab + offsetof(BlockQ6_K, high) + 32 * half, 4 * nibble - 4, 4 * nibble - 2);
    return Masked(Selected(15, _mm512_srli_epi16(low, static_cast<unsigned>(4 * nibble)), high), 63);
  }
#endif
  static constexpr int kWords = 48, kWordsAt = offsetof(BlockQ6_K, low);
  static void Unpack(const std::uint32_t* words, std::uint32_t* codes) {
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 8; ++i) {
        const WordVec low = WordsAt(words, 16 * half + i), low2 = WordsAt(words, 16 * half + 8 + i);
        const WordVec high = WordsAt(words, 32 + 8 * half + i);
        std::uint32_t* to = codes + 32 * half * kLanes;
        StoreBits<15, 48>(low, hn::ShiftLeft<4>(high), to, i);
        StoreBits<15, 48>(low2, hn::ShiftLeft<2>(high), to, 8 + i);
        StoreBits<15, 48>(hn::ShiftRight<4>(low), high, to, 16 + i);
        StoreBits<15, 48>(hn::ShiftRight<4>(low2), hn::ShiftRight<2>(high), to, 24 + i);
      }
    }
  }
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    constexpr auto kAt = static_cast<std::int64_t>(offsetof(BlockQ6_K, scales));
    // The block ends with its F16, so it is read with bytes before it, not with any past the end.
    WordVec four[4];
    words.FourAt(kAt + 2, four);
    const FloatVec d = HighHalf(four[3]);
    words.FourAt(kAt, four);
    for (int i = 0; i < 4; ++i) {
      StoreLanes(hn::Mul(d, SignedByteOf<0>(four[i])), 4 * i, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<1>(four[i])), 4 * i + 1, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<2>(four[i])), 4 * i + 2, scales);
      StoreLanes(hn::Mul(d, SignedByteOf<3>(four[i])), 4 * i + 3, scales);
    }
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
