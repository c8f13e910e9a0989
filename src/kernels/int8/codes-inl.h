// How the codes and scales of each quantised type are read from a strip's slab: kLanes rows of the weight,
// 256 columns, in the order that strips-inl.h gives it.
//
// A type is a struct with
//   kGroup        elements that share a scale: 32 or 16
//   kOffset       what is subtracted from a code to get its integer: 0, or a power of two
//   kMinima       whether each group also has a minimum: x = scale * code - minimum
//   kLargest      the largest code
//   kElements     elements of a block: 32 or 256
//   kBlockBytes   bytes of a block in the file
//   kWordsAt, kWords, kHalfAt
//                 its parts: kWords words of four bytes from byte kWordsAt on, and, unless kHalfAt is
//                 negative, two bytes from there on
//   Codes(words, g, codes)                 the codes of 32 columns of kLanes rows, one row a lane: codes[s]
//   has
//                                          the four columns from 4 s on
//   Scales(slab, groups, scales, minima)   the scales and minima of kLanes rows, one row a lane
// and, where the file's blocks would be slow to unpack,
//   Recoded, Recode(block, recoded)        what a strip is made of instead of a block, to which kWordsAt,
//                                          kWords and kHalfAt then refer, and how it is made: the same
//                                          numbers in other bits
// with the blocks as tensor/blocks.h describes them. For types of 32 elements, `words` are those of the
// block, and g means nothing. For types of 256, they are those of the slab, and g, a constant, picks the
// columns from 32 g on. Here are the types of 32 elements, in k_codes-inl.h the K types, in level_codes-inl.h
// and iq_codes-inl.h the others.
#if defined(LONGSPAN_KERNELS_INT8_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "tensor/blocks.h"
#include "tensor/type.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX2

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
using WordTag = hn::RebindToUnsigned<FloatTag>;
using WordVec = hn::Vec<WordTag>;
using IntTag = hn::RebindToSigned<FloatTag>;
using IntVec = hn::Vec<IntTag>;
using ByteTag = hn::Repartition<std::uint8_t, WordTag>;

inline constexpr std::int64_t kLanes = HWY_MAX_BYTES / sizeof(float);
// Whether one instruction multiplies unsigned by signed bytes and adds four products to a 32-bit lane.
inline constexpr bool kVnni = HWY_TARGET <= HWY_AVX3_DL;

// A slab of a strip: the words [blocks, kWords, kLanes] of its type, then the halves [blocks, kLanes].
struct Slab {
  const std::uint32_t* words;
  const std::uint16_t* halves;

  HWY_INLINE WordVec Word(std::int64_t i) const { return hn::Load(WordTag(), words + i * kLanes); }
  // The two bytes of a block, zero-extended.
  HWY_INLINE WordVec Half(std::int64_t block) const {
    const hn::Rebind<std::uint16_t, WordTag> d16;
    return hn::PromoteTo(WordTag(), hn::Load(d16, halves + block * kLanes));
  }
  HWY_INLINE FloatVec HalfFloat(std::int64_t block) const {
    const hn::Rebind<hwy::float16_t, FloatTag> df16;
    return hn::PromoteTo(FloatTag(),
                         hn::Load(df16, reinterpret_cast<const hwy::float16_t*>(halves + block * kLanes)));
  }
};

HWY_INLINE WordVec WordAt(const std::uint32_t* words, int i) {
  return hn::Load(WordTag(), words + i * kLanes);
}
HWY_INLINE WordVec FourTimes(std::uint8_t byte) { return hn::Set(WordTag(), byte * 0x01010101u); }

// The F16 in the low half of each word.
HWY_INLINE FloatVec LowHalf(WordVec words) {
  const hn::Rebind<std::uint16_t, FloatTag> d16;
  const hn::Rebind<hwy::float16_t, FloatTag> df16;
  const IntVec low = hn::BitCast(IntTag(), hn::And(words, hn::Set(WordTag(), 0xffff)));
  return hn::PromoteTo(FloatTag(), hn::BitCast(df16, hn::DemoteTo(d16, low)));
}
HWY_INLINE FloatVec HighHalf(WordVec words) { return LowHalf(hn::ShiftRight<16>(words)); }

// Byte i of each word as an unsigned, or signed, number.
template <int kByte>
HWY_INLINE FloatVec ByteOf(WordVec words) {
  const WordVec byte = hn::And(hn::ShiftRight<8 * kByte>(words), hn::Set(WordTag(), 255));
  return hn::ConvertTo(FloatTag(), hn::BitCast(IntTag(), byte));
}
template <int kByte>
HWY_INLINE FloatVec SignedByteOf(WordVec words) {
  const IntVec top = hn::BitCast(IntTag(), hn::ShiftLeft<24 - 8 * kByte>(words));
  return hn::ConvertTo(FloatTag(), hn::ShiftRight<24>(top));
}

HWY_INLINE void StoreLanes(FloatVec v, std::int64_t group, float* to) {
  hn::Store(v, FloatTag(), to + group * kLanes);
}
// to[first + i] = factor * byte i, for the four bytes of each word.
HWY_INLINE void StoreBytes(WordVec words, FloatVec factor, std::int64_t first, float* to) {
  StoreLanes(hn::Mul(factor, ByteOf<0>(words)), first, to);
  StoreLanes(hn::Mul(factor, ByteOf<1>(words)), first + 1, to);
  StoreLanes(hn::Mul(factor, ByteOf<2>(words)), first + 2, to);
  StoreLanes(hn::Mul(factor, ByteOf<3>(words)), first + 3, to);
}

// The bits from `from` on of each byte, kBits of them, moved to bit `to`.
template <int kFrom, int kBits, int kTo = 0>
HWY_INLINE WordVec Bits(WordVec v) {
  const WordVec mask = FourTimes(static_cast<std::uint8_t>(((1 << kBits) - 1) << kTo));
  if constexpr (kFrom > kTo) return hn::And(hn::ShiftRight<kFrom - kTo>(v), mask);
  if constexpr (kFrom < kTo) return hn::And(hn::ShiftLeft<kTo - kFrom>(v), mask);
  return hn::And(v, mask);
}

// The entry of `table` [16] that each byte of `index`, below 16, picks.
HWY_INLINE WordVec LookUp(const std::uint8_t* table, WordVec index) {
  const ByteTag d;
  return hn::BitCast(WordTag(), hn::TableLookupBytes(hn::LoadDup128(d, table), hn::BitCast(d, index)));
}

// ---- Blocks of 32: a slab is up to eight of them.

struct BlocksOf32 {
  static constexpr int kGroup = 32, kElements = 32;
};

// A block's one F16.
HWY_INLINE void HalfScales(const Slab& slab, std::int64_t groups, float* scales) {
  for (std::int64_t g = 0; g < groups; ++g) StoreLanes(slab.HalfFloat(g), g, scales);
}
// The two F16 of each block's first word. x = d q + m: the minimum is -m.
template <int kWords>
HWY_INLINE void ScalesAndMinima(const Slab& slab, std::int64_t groups, float* scales, float* minima) {
  for (std::int64_t g = 0; g < groups; ++g) {
    const WordVec both = slab.Word(g * kWords);
    StoreLanes(LowHalf(both), g, scales);
    StoreLanes(hn::Neg(HighHalf(both)), g, minima);
  }
}

// Nibbles of four words: elements 0-15 are the low ones.
HWY_INLINE void NibbleCodes(const std::uint32_t* words, WordVec (&codes)[8]) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const WordVec q = WordAt(words, i);
    codes[i] = Bits<0, 4>(q);
    codes[4 + i] = Bits<4, 4>(q);
  }
}

// Adds 16 where the fifth bit is set: bit i of `high` belongs to element i.
HWY_INLINE void AddFifthBits(WordVec high, WordVec (&codes)[8]) {
  const ByteTag d;
  const WordVec sixteen = FourTimes(16), tests = hn::Set(WordTag(), 0x08040201u);
  // Where each word begins within its 128 bits, which a look-up cannot leave.
  alignas(16) static constexpr std::uint32_t kWordStarts[4] = {0, 0x04040404, 0x08080808, 0x0c0c0c0c};
  const WordVec starts = hn::LoadDup128(WordTag(), kWordStarts);
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) {
    // Byte s / 2 of each word, in all of its bytes, is tested at the bits 4 (s % 2) to 4 (s % 2) + 3.
    const WordVec order = hn::Or(starts, FourTimes(static_cast<std::uint8_t>(s / 2)));
    const auto spread = hn::TableLookupBytes(hn::BitCast(d, high), hn::BitCast(d, order));
    const auto bits = hn::BitCast(d, s % 2 == 0 ? tests : hn::ShiftLeft<4>(tests));
    const auto set = hn::IfThenElseZero(hn::TestBit(spread, bits), hn::BitCast(d, sixteen));
    codes[s] = hn::Or(codes[s], hn::BitCast(WordTag(), set));
  }
}

struct Q8_0Codes : BlocksOf32 {
  static constexpr Type kType = Type::kQ8_0;
  static constexpr int kOffset = 128, kLargest = 255;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockQ8_0), kWordsAt = 2, kWords = 8, kHalfAt = 0;
  // Without VNNI codes stay signed: the sums of two products of a full byte would not fit 16 bits.
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s)
      codes[s] = kVnni ? hn::Xor(WordAt(words, s), FourTimes(128)) : WordAt(words, s);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float*) {
    HalfScales(slab, groups, scales);
  }
};

struct Q4_0Codes : BlocksOf32 {
  static constexpr Type kType = Type::kQ4_0;
  static constexpr int kOffset = 8, kLargest = 15;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockQ4_0), kWordsAt = 2, kWords = 4, kHalfAt = 0;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    NibbleCodes(words, codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float*) {
    HalfScales(slab, groups, scales);
  }
};

struct Q4_1Codes : BlocksOf32 {
  static constexpr Type kType = Type::kQ4_1;
  static constexpr int kOffset = 0, kLargest = 15;
  static constexpr bool kMinima = true;
  static constexpr int kBlockBytes = sizeof(BlockQ4_1), kWordsAt = 0, kWords = 5, kHalfAt = -1;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    NibbleCodes(words + kLanes, codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float* minima) {
    ScalesAndMinima<kWords>(slab, groups, scales, minima);
  }
};

struct Q5_0Codes : BlocksOf32 {
  static constexpr Type kType = Type::kQ5_0;
  static constexpr int kOffset = 16, kLargest = 31;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockQ5_0), kWordsAt = 2, kWords = 5, kHalfAt = 0;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    NibbleCodes(words + kLanes, codes);
    AddFifthBits(WordAt(words, 0), codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float*) {
    HalfScales(slab, groups, scales);
  }
};

struct Q5_1Codes : BlocksOf32 {
  static constexpr Type kType = Type::kQ5_1;
  static constexpr int kOffset = 0, kLargest = 31;
  static constexpr bool kMinima = true;
  static constexpr int kBlockBytes = sizeof(BlockQ5_1), kWordsAt = 0, kWords = 6, kHalfAt = -1;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    NibbleCodes(words + 2 * kLanes, codes);
    AddFifthBits(WordAt(words, 1), codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float* minima) {
    ScalesAndMinima<kWords>(slab, groups, scales, minima);
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
