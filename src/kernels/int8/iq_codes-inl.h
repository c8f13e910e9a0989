// Codes and scales of the IQ types of one to three bits, as codes-inl.h describes them.
//
// Finding a point of a code book takes longer than reading the memory that it saves. Strips therefore hold
// levels and signs, column by column, in more bytes than the file: half as many again for most types.
#if defined(LONGSPAN_KERNELS_INT8_IQ_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_IQ_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_IQ_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_IQ_CODES_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/k_codes-inl.h"
#include "kernels/int8/level_codes-inl.h"
#include "kernels/int8/recode-inl.h"
#include "tensor/blocks.h"
#include "tensor/iq_blocks.h"
#include "tensor/iq_points.h"
#include "tensor/type.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// scales[first + i] = d (2 s + 1) for i < count, where s are the kBits bits from bit `from` + kApart i on.
template <int kBits, int kApart>
HWY_INLINE void OddScales(WordVec packed, int from, int count, FloatVec d, std::int64_t first,
                          float* scales) {
  const FloatVec twice = hn::Add(d, d);
  for (int i = 0; i < count; ++i) {
    const WordVec s =
        hn::And(hn::ShiftRightSame(packed, from + kApart * i), hn::Set(WordTag(), (1u << kBits) - 1));
    StoreLanes(hn::MulAdd(twice, hn::ConvertTo(FloatTag(), hn::BitCast(IntTag(), s)), d), first + i, scales);
  }
}

// A number times a power of two, exactly.
HWY_INLINE FloatVec Times(FloatVec v, float factor) { return hn::Mul(v, hn::Set(FloatTag(), factor)); }

// The signs of an octet as bytes of 0 and 1. Value i's bit is moved to 8 i by the product's 7 i.
inline std::uint64_t SignBytes(unsigned signs) {
  return ((signs & 127) * std::uint64_t{0x0002040810204081} & 0x0101010101010101) | std::uint64_t{signs >> 7}
                                                                                        << 56;
}

// Levels with signs: `count` magnitudes times `factor`, then from kNegative on the same with a minus, and
// `added` to each.
template <int kNegative, std::size_t kLevels>
constexpr std::array<std::uint8_t, 16> SignedLevels(const std::array<float, kLevels>& magnitudes,
                                                    float factor, int added) {
  std::array<std::uint8_t, 16> levels{};
  for (std::size_t i = 0; i < kLevels; ++i) {
    const int level = static_cast<int>(magnitudes[i] * factor);
    levels[i] = static_cast<std::uint8_t>(added + level);
    levels[kNegative + i] = static_cast<std::uint8_t>(added - level);
  }
  return levels;
}

// A look-up by kBits bits of each byte, from bit kFrom on: the entry of `table` [16] that they pick.
template <int kFrom, int kBits, const std::array<std::uint8_t, 16>& table>
HWY_INLINE WordVec LookUpField(WordVec word) {
#if HWY_TARGET <= HWY_AVX3_DL
  // One instruction looks up the low six bits. The table is repeated for all values of those that do not
  // count.
  if constexpr (kFrom + kBits > 6) {
    return LookUpField<0, kBits, table>(hn::ShiftRight<kFrom>(word));
  } else {
    alignas(64) static constexpr std::array<std::uint8_t, 64> kRepeated = [] {
      std::array<std::uint8_t, 64> repeated{};
      for (std::size_t i = 0; i < 64; ++i) repeated[i] = table[i >> kFrom & ((1 << kBits) - 1)];
      return repeated;
    }();
    WordVec found;
    found.raw = _mm512_permutexvar_epi8(word.raw, _mm512_load_si512(kRepeated.data()));
    return found;
  }
#else
  return LookUp(table.data(), Bits<kFrom, kBits>(word));
#endif
}

// ---- IQ2: two bits of a level and a sign. Eight times a value is an integer.

alignas(16) inline constexpr auto kIq2Codes = SignedLevels<4>(kLevels2, 8, 64);

template <class Block, int kScales>
struct IQ2Codes : BlocksOf256 {
  static constexpr int kGroup = kSuperBlock / kScales, kOffset = 64, kLargest = 64 + 43;
  static constexpr bool kMinima = false;
  struct Recoded {
    std::array<std::uint8_t, 96> levels;
    std::array<std::uint8_t, kScales / 2> scales;  // two a byte, the first in the low nibble
    PackedHalf d;
  };
  static constexpr int kBlockBytes = sizeof(Block), kWordsAt = 0, kWords = offsetof(Recoded, d) / 4,
                       kHalfAt = offsetof(Recoded, d);

  template <class Levels>
  static void RecodeWith(const Levels& points, const std::uint8_t* from, Recoded& to) {
    Block block;
    std::memcpy(&block, from, sizeof(block));
    alignas(64) std::array<std::uint8_t, kSuperBlock> codes;
    for (int o = 0; o < kOctets; ++o) {
      std::uint64_t levels;
      std::memcpy(&levels, points[block.Point(o)].data(), kOctet);
      levels |= SignBytes(block.Signs(o)) << 2;
      std::memcpy(&codes[kOctet * o], &levels, kOctet);
    }
    to.levels = Threes(codes);
    for (int i = 0; i < kScales / 2; ++i)
      to.scales[i] = static_cast<std::uint8_t>(block.Scale(2 * i) | block.Scale(2 * i + 1) << 4);
    to.d = block.d;
  }
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      if constexpr (G::value < 6) {
        codes[s] = LookUpField<3 * (G::value % 2), 3, kIq2Codes>(WordAt(words, 8 * (G::value / 2) + s));
      } else {
        // Bits 0-1 come from one byte, bit 2 from another. The look-up ignores the others.
        const WordVec low = hn::ShiftRight<6>(WordAt(words, 8 * (G::value - 6) + s));
        const WordVec high = hn::ShiftRight<G::value - 2>(WordAt(words, 16 + s));
        const WordVec sign = FourTimes(4);
        codes[s] = LookUpField<0, 3, kIq2Codes>(hn::Or(hn::And(sign, high), hn::AndNot(sign, low)));
      }
    }
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    const FloatVec d = Times(slab.HalfFloat(0), 0.125f);
    for (int i = 0; i < kScales / 8; ++i)
      OddScales<4, 4>(slab.Word(WordIndex(offsetof(Recoded, scales)) + i), 0, 8, d, 8 * i, scales);
  }
};

struct IQ2_XXSCodes : IQ2Codes<BlockIQ2_XXS, 8> {
  static constexpr Type kType = Type::kIQ2_XXS;
  static void Recode(const std::uint8_t* from, Recoded& to) { RecodeWith(kLevelsIQ2_XXS, from, to); }
};
struct IQ2_XSCodes : IQ2Codes<BlockIQ2_XS, 16> {
  static constexpr Type kType = Type::kIQ2_XS;
  static void Recode(const std::uint8_t* from, Recoded& to) { RecodeWith(kLevelsIQ2_XS, from, to); }
};
struct IQ2_SCodes : IQ2Codes<BlockIQ2_S, 16> {
  static constexpr Type kType = Type::kIQ2_S;
  static void Recode(const std::uint8_t* from, Recoded& to) { RecodeWith(kLevelsIQ2_S, from, to); }
};

// ---- IQ3: a nibble of three bits and a sign, in the order of IQ4_XS.

// `kFactor` times a value is an integer.
template <class Block, int kFactor, int kCodeOffset>
struct IQ3Codes : BlocksOf256 {
  static constexpr int kGroup = 32, kOffset = kCodeOffset, kLargest = 2 * kCodeOffset - 1;
  static constexpr bool kMinima = false;
  struct Recoded {
    std::array<std::uint8_t, 128> codes;
    std::array<std::uint8_t, 4> scales;  // two a byte, the first in the low nibble
    PackedHalf d;
  };
  static constexpr int kBlockBytes = sizeof(Block), kWordsAt = 0, kWords = offsetof(Recoded, d) / 4,
                       kHalfAt = offsetof(Recoded, d);

  template <class Levels>
  static void RecodeWith(const Levels& points, const std::uint8_t* from, Recoded& to) {
    Block block;
    std::memcpy(&block, from, sizeof(block));
    alignas(64) std::array<std::uint8_t, kSuperBlock> codes;
    for (int o = 0; o < kOctets; ++o) {
      std::uint32_t first, second;
      std::memcpy(&first, points[block.Point(2 * o)].data(), kOctet / 2);
      std::memcpy(&second, points[block.Point(2 * o + 1)].data(), kOctet / 2);
      const std::uint64_t levels = first | std::uint64_t{second} << 32 | SignBytes(block.Signs(o)) << 3;
      std::memcpy(&codes[kOctet * o], &levels, kOctet);
    }
    to.codes = Nibbles(codes);
    for (int i = 0; i < 4; ++i)
      to.scales[i] = static_cast<std::uint8_t>(block.Scale(2 * i) | block.Scale(2 * i + 1) << 4);
    to.d = block.d;
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    OddScales<4, 4>(slab.Word(WordIndex(offsetof(Recoded, scales))), 0, 8,
                    Times(slab.HalfFloat(0), 1.0f / kFactor), 0, scales);
  }
};

alignas(16) inline constexpr auto kIq3XxsCodes = SignedLevels<8>(kLevels3_XXS, 2, 32);
alignas(16) inline constexpr auto kIq3SCodes = SignedLevels<8>(kLevels3_S, 1, 16);

struct IQ3_XXSCodes : IQ3Codes<BlockIQ3_XXS, 2, 32> {
  static constexpr Type kType = Type::kIQ3_XXS;
  static void Recode(const std::uint8_t* from, Recoded& to) { RecodeWith(kLevelsIQ3_XXS, from, to); }
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    LevelNibbles(kIq3XxsCodes.data(), words + 4 * G::value * kLanes, codes);
  }
};
struct IQ3_SCodes : IQ3Codes<BlockIQ3_S, 1, 16> {
  static constexpr Type kType = Type::kIQ3_S;
  static void Recode(const std::uint8_t* from, Recoded& to) { RecodeWith(kLevelsIQ3_S, from, to); }
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    LevelNibbles(kIq3SCodes.data(), words + 4 * G::value * kLanes, codes);
  }
};

// ---- IQ1: a bit pair, as in TQ2_0. Eight times a value is 8 (level - 1) + 1, or - 1 where the shift is
// down.

alignas(16) inline constexpr std::array<std::uint8_t, 16> kEightLevels{0, 8, 16};

struct IQ1Codes : BlocksOf256 {
  static constexpr int kOffset = 16, kLargest = 16 + 9;
  static constexpr bool kMinima = false;

  template <class Block>
  static std::array<std::uint8_t, 64> Levels(const Block& block) {
    alignas(64) std::array<std::uint8_t, kSuperBlock> codes;
    for (int o = 0; o < kOctets; ++o)
      std::memcpy(&codes[kOctet * o], kLevelsIQ1[block.Point(o)].data(), kOctet);
    return BitPairs(codes);
  }
  // What makes a code of eight times a level: 1 or -1, and the offset without the eight of level 1. `shifts`
  // has kBit set in rows whose shift is down.
  template <int kBit>
  static HWY_INLINE WordVec Shift(WordVec shifts) {
    const WordVec bit = hn::Set(WordTag(), 1u << kBit);
    return hn::IfThenElse(hn::TestBit(shifts, bit), FourTimes(kOffset - 8 - 1), FourTimes(kOffset - 8 + 1));
  }
  template <class G>
  static HWY_INLINE WordVec EightLevels(const std::uint32_t* words, int s) {
    return LookUpField<2 * (G::value % 4), 2, kEightLevels>(WordAt(words, 8 * (G::value / 4) + s));
  }
};

struct IQ1_SCodes : IQ1Codes {
  static constexpr Type kType = Type::kIQ1_S;
  static constexpr int kGroup = 32;
  struct Recoded {
    std::array<std::uint8_t, 64> levels;
    std::array<std::uint8_t, 4> scales;  // a nibble each: bits 0-2 the scale, bit 3 whether the shift is down
    PackedHalf d;
  };
  static constexpr int kBlockBytes = sizeof(BlockIQ1_S), kWordsAt = 0, kWords = offsetof(Recoded, d) / 4,
                       kHalfAt = offsetof(Recoded, d);
  static void Recode(const std::uint8_t* from, Recoded& to) {
    BlockIQ1_S block;
    std::memcpy(&block, from, sizeof(block));
    to.levels = Levels(block);
    to.scales = {};
    for (int i = 0; i < 8; ++i)
      to.scales[i / 2] |= static_cast<std::uint8_t>(block.high[i].value() >> 12 << 4 * (i % 2));
    to.d = block.d;
  }
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    const WordVec shift = Shift<4 * G::value + 3>(WordAt(words, WordIndex(offsetof(Recoded, scales))));
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = hn::Add(EightLevels<G>(words, s), shift);
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    OddScales<3, 4>(slab.Word(WordIndex(offsetof(Recoded, scales))), 0, 8, Times(slab.HalfFloat(0), 0.125f),
                    0, scales);
  }
};

struct IQ1_MCodes : IQ1Codes {
  static constexpr Type kType = Type::kIQ1_M;
  static constexpr int kGroup = 16;
  struct Recoded {
    std::array<std::uint8_t, 64> levels;
    std::array<std::uint8_t, 4> shifts;  // bit o of the four bytes: the shift of octet o is down
    std::array<PackedU16, 4> scales;     // as in the file
  };
  static constexpr int kBlockBytes = sizeof(BlockIQ1_M), kWordsAt = 0, kWords = sizeof(Recoded) / 4,
                       kHalfAt = -1;
  static void Recode(const std::uint8_t* from, Recoded& to) {
    BlockIQ1_M block;
    std::memcpy(&block, from, sizeof(block));
    to.levels = Levels(block);
    to.shifts = {};
    for (int o = 0; o < kOctets; ++o)
      to.shifts[o / 8] |= static_cast<std::uint8_t>(int{block.ShiftsDown(o)} << o % 8);
    to.scales = block.scales;
  }
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    const WordVec shifts = WordAt(words, WordIndex(offsetof(Recoded, shifts)));
    const WordVec shift[4] = {Shift<4 * G::value>(shifts), Shift<4 * G::value + 1>(shifts),
                              Shift<4 * G::value + 2>(shifts), Shift<4 * G::value + 3>(shifts)};
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = hn::Add(EightLevels<G>(words, s), shift[s / 2]);
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    constexpr int kFirst = WordIndex(offsetof(Recoded, scales));
    const WordVec low = slab.Word(kFirst), high = slab.Word(kFirst + 1);
    // d's nibbles are the last of each 16 bits.
    const auto nibbles = [](WordVec word) HWY_ATTR {
      const WordTag d;
      return hn::Or(hn::And(hn::ShiftRight<12>(word), hn::Set(d, 0x0f)),
                    hn::And(hn::ShiftRight<24>(word), hn::Set(d, 0xf0)));
    };
    const FloatVec d = Times(LowHalf(hn::Or(nibbles(low), hn::ShiftLeft<8>(nibbles(high)))), 0.125f);
    for (int i = 0; i < 4; ++i) OddScales<3, 3>(i < 2 ? low : high, 16 * (i % 2), 4, d, 4 * i, scales);
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
