// Codes and scales of the K types, as codes-inl.h describes them. A slab is one block.
#if defined(LONGSPAN_KERNELS_INT8_K_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_K_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/int8/codes-inl.h"
#include "tensor/blocks.h"
#include "tensor/type.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

struct BlocksOf256 {
  static constexpr int kElements = 256;
};

// The index of the word at a byte of a block whose words begin at byte 0.
constexpr int WordIndex(std::size_t byte) { return static_cast<int>(byte / 4); }

// The eight 6-bit scales and minima of Q4_K and Q5_K, whose bytes begin at byte 4 (see tensor/blocks.h), for
// kLanes rows at once. A word does for four bytes what is done there for one.
HWY_INLINE void SixBitScales(const Slab& slab, float* scales, float* minima) {
  const WordVec halves = slab.Word(0), a = slab.Word(1), b = slab.Word(2), c = slab.Word(3);
  const WordVec six = FourTimes(0x3f), four = FourTimes(0x0f), top = FourTimes(0x30);
  const FloatVec scale = LowHalf(halves), minimum = HighHalf(halves);
  StoreBytes(hn::And(a, six), scale, 0, scales);
  StoreBytes(hn::And(b, six), minimum, 0, minima);
  StoreBytes(hn::Or(hn::And(c, four), hn::And(hn::ShiftRight<2>(a), top)), scale, 4, scales);
  StoreBytes(hn::Or(hn::And(hn::ShiftRight<4>(c), four), hn::And(hn::ShiftRight<2>(b), top)), minimum, 4,
             minima);
}

struct Q2_KCodes : BlocksOf256 {
  static constexpr Type kType = Type::kQ2_K;
  static constexpr int kGroup = 16, kOffset = 0, kLargest = 3;
  static constexpr bool kMinima = true;
  static constexpr int kBlockBytes = sizeof(BlockQ2_K), kWordsAt = 0, kWords = 21, kHalfAt = -1;
  // Each half of a block has 32 bytes of bit pairs, for four stripes of 32 elements.
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    constexpr int kFirst = WordIndex(offsetof(BlockQ2_K, q)) + 8 * (G::value / 4);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = Bits<2 * (G::value % 4), 2>(WordAt(words, kFirst + s));
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float* minima) {
    const WordVec halves = slab.Word(WordIndex(offsetof(BlockQ2_K, d)));
    const FloatVec scale = LowHalf(halves), minimum = HighHalf(halves);
    for (int i = 0; i < 4; ++i) {
      const WordVec both = slab.Word(WordIndex(offsetof(BlockQ2_K, scales)) + i);
      StoreBytes(Bits<0, 4>(both), scale, 4 * i, scales);
      StoreBytes(Bits<4, 4>(both), minimum, 4 * i, minima);
    }
  }
};

struct Q3_KCodes : BlocksOf256 {
  static constexpr Type kType = Type::kQ3_K;
  static constexpr int kGroup = 16, kOffset = 4, kLargest = 7;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockQ3_K), kWordsAt = 0, kWords = 27,
                       kHalfAt = offsetof(BlockQ3_K, d);
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    constexpr int kFirst = WordIndex(offsetof(BlockQ3_K, q)) + 8 * (G::value / 4);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const WordVec low = Bits<2 * (G::value % 4), 2>(WordAt(words, kFirst + s));
      codes[s] = hn::Or(low, Bits<G::value, 1, 2>(WordAt(words, s)));
    }
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    const FloatVec scale = slab.HalfFloat(0);
    constexpr int kFirst = WordIndex(offsetof(BlockQ3_K, scales));
    const WordVec a = slab.Word(kFirst), b = slab.Word(kFirst + 1), c = slab.Word(kFirst + 2);
    const auto store = [&](WordVec low, WordVec high, int first)
                           HWY_ATTR { StoreBytes(hn::Or(low, high), scale, first, scales); };
    store(Bits<0, 4>(a), Bits<0, 2, 4>(c), 0);
    store(Bits<0, 4>(b), Bits<2, 2, 4>(c), 4);
    store(Bits<4, 4>(a), Bits<4, 2, 4>(c), 8);
    store(Bits<4, 4>(b), Bits<6, 2, 4>(c), 12);
    // d times a small integer is exact, and so is the difference.
    const FloatVec offset = hn::Mul(scale, hn::Set(FloatTag(), 32.0f));
    for (int i = 0; i < 16; ++i)
      StoreLanes(hn::Sub(hn::Load(FloatTag(), scales + i * kLanes), offset), i, scales);
  }
};

// Eight words of nibbles from word `first` on, the high ones for odd groups.
template <class G>
HWY_INLINE WordVec NibblesOf(const std::uint32_t* words, int first, int s) {
  return Bits<4 * (G::value % 2), 4>(WordAt(words, first + 8 * (G::value / 2) + s));
}

struct Q4_KCodes : BlocksOf256 {
  static constexpr Type kType = Type::kQ4_K;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 15;
  static constexpr bool kMinima = true;
  static constexpr int kBlockBytes = sizeof(BlockQ4_K), kWordsAt = 0, kWords = 36, kHalfAt = -1;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = NibblesOf<G>(words, WordIndex(offsetof(BlockQ4_K, q)), s);
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float* minima) {
    SixBitScales(slab, scales, minima);
  }
};

struct Q5_KCodes : BlocksOf256 {
  static constexpr Type kType = Type::kQ5_K;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 31;
  static constexpr bool kMinima = true;
  static constexpr int kBlockBytes = sizeof(BlockQ5_K), kWordsAt = 0, kWords = 44, kHalfAt = -1;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const WordVec high = WordAt(words, WordIndex(offsetof(BlockQ5_K, high)) + s);
      codes[s] =
          hn::Or(NibblesOf<G>(words, WordIndex(offsetof(BlockQ5_K, q)), s), Bits<G::value, 1, 4>(high));
    }
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float* minima) {
    SixBitScales(slab, scales, minima);
  }
};

struct Q6_KCodes : BlocksOf256 {
  static constexpr Type kType = Type::kQ6_K;
  static constexpr int kGroup = 16, kOffset = 32, kLargest = 63;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockQ6_K), kWordsAt = 0, kWords = 52,
                       kHalfAt = offsetof(BlockQ6_K, d);
  // Stripe t of a half has nibbles of its own, low for the first two stripes, and bit pair t of 32 bytes.
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    constexpr int kHalf = G::value / 4, kStripe = G::value % 4;
    constexpr int kLow = WordIndex(offsetof(BlockQ6_K, low)) + 16 * kHalf + 8 * (kStripe % 2);
    constexpr int kHigh = WordIndex(offsetof(BlockQ6_K, high)) + 8 * kHalf;
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      codes[s] = hn::Or(Bits<4 * (kStripe / 2), 4>(WordAt(words, kLow + s)),
                        Bits<2 * kStripe, 2, 4>(WordAt(words, kHigh + s)));
    }
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    const FloatVec d = slab.HalfFloat(0);
    for (int i = 0; i < 4; ++i) {
      const WordVec four = slab.Word(WordIndex(offsetof(BlockQ6_K, scales)) + i);
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
