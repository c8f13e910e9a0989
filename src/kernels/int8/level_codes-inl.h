// Codes and scales of the types whose codes pick a level (IQ4_NL, IQ4_XS, MXFP4) or are signs (TQ1_0, TQ2_0),
// as codes-inl.h describes them.
#if defined(LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/k_codes-inl.h"
#include "kernels/int8/lanes-inl.h"
#include "tensor/blocks.h"
#include "tensor/type.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Levels as bytes to be multiplied, with `added` to each.
constexpr std::array<std::uint8_t, 16> LevelCodes(const std::array<std::int8_t, 16>& levels, int added) {
  std::array<std::uint8_t, 16> codes{};
  for (std::size_t i = 0; i < 16; ++i) codes[i] = static_cast<std::uint8_t>(levels[i] + added);
  return codes;
}

// Blocks or sub-blocks of 32 with 16 bytes of nibbles, words 4 i to 4 i + 3 of the i-th: what NibblesOf32
// has.
template <int kStep>
HWY_INLINE WordVec LookedUp(const std::uint32_t* words, const std::array<std::uint8_t, 16>& table) {
  const hn::Repartition<std::uint8_t, WordTag> d8;
  constexpr int kWord = kStep / 8 * 4 + kStep % 4;
  const WordVec nibbles = BitsOfBytes<kStep % 8 / 4 * 4>(hn::Load(WordTag(), words + kWord * kLanes), 15);
  return hn::BitCast(WordTag(),
                     hn::TableLookupBytes(hn::LoadDup128(d8, table.data()), hn::BitCast(d8, nibbles)));
}

// IQ4's levels need whole bytes, so they go as Q8_0's codes do.
struct IQ4Levels {
  static constexpr int kGroup = 32, kOffset = 128, kLargest = 255, kWords = 32;
  static constexpr bool kMinima = false;
  alignas(16) static constexpr std::array<std::uint8_t, 16> kTable = LevelCodes(kIq4Levels, kVnni ? 128 : 0);
  template <int kStep>
  static HWY_INLINE WordVec Four(const std::uint32_t* words) {
    return LookedUp<kStep>(words, kTable);
  }
};

struct IQ4_NLCodes : IQ4Levels {
  static constexpr Type kType = Type::kIQ4_NL;
  static constexpr std::int64_t kStride = sizeof(BlockIQ4_NL), kSlabBytes = 8 * kStride;
  static HWY_INLINE WordVec Words(const std::uint8_t* slab, int first) {
    return WordsOfBlocks<16, kStride>(WordTag(), slab + first / 4 * kStride + offsetof(BlockIQ4_NL, q));
  }
  static HWY_INLINE void Scales(const SlabRows& rows, float* scales, float* minima) {
    BlocksOf32<BlockIQ4_NL, false>::Scales(rows, scales, minima);
  }
};

struct IQ4_XSCodes : IQ4Levels {
  static constexpr Type kType = Type::kIQ4_XS;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockIQ4_XS);
  static HWY_INLINE WordVec Words(const std::uint8_t* slab, int first) {
    return LoadWords(slab + offsetof(BlockIQ4_XS, q) + 4 * static_cast<std::size_t>(first));
  }
  static HWY_INLINE void Scales(const SlabRows& rows, float* scales, float*) {
    const WordTag d;
    const WordVec begin = rows.Word(offsetof(BlockIQ4_XS, d)), low = rows.Word(offsetof(BlockIQ4_XS, low));
    const FloatVec unit = LowHalf(begin);
    Unrolled<8>([&]<int i>() HWY_ATTR {
      const WordVec low4 = hn::And(hn::ShiftRight<4 * i>(low), hn::Set(d, 15));
      const WordVec high2 = hn::And(hn::ShiftRight<16 + 2 * i>(begin), hn::Set(d, 3));
      const IntVec multiple =
          hn::Sub(hn::BitCast(IntTag(), hn::Or(low4, hn::ShiftLeft<4>(high2))), hn::Set(IntTag(), 32));
      StoreLanes(hn::Mul(unit, hn::ConvertTo(FloatTag(), multiple)), i, scales);
    });
  }
};

struct MXFP4Codes {
  static constexpr Type kType = Type::kMXFP4;
  static constexpr int kGroup = 32, kOffset = 16, kLargest = 28, kWords = 32;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kStride = sizeof(BlockMXFP4), kSlabBytes = 8 * kStride;
  alignas(16) static constexpr std::array<std::uint8_t, 16> kTable = LevelCodes(kMxfp4Levels, kOffset);
  static HWY_INLINE WordVec Words(const std::uint8_t* slab, int first) {
    return WordsOfBlocks<16, kStride>(WordTag(), slab + first / 4 * kStride + offsetof(BlockMXFP4, q));
  }
  template <int kStep>
  static HWY_INLINE WordVec Four(const std::uint32_t* words) {
    return LookedUp<kStep>(words, kTable);
  }
  static HWY_INLINE void Scales(const SlabRows& rows, float* scales, float*) {
    const WordTag d;
    for (std::int64_t g = 0; g < 8; ++g) {
      // As BlockMXFP4::d.
      const WordVec e = hn::And(rows.Word(g * kStride), hn::Set(d, 255));
      const WordVec normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1)));
      const WordVec small = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1)));  // of 0 and 1
      StoreLanes(hn::BitCast(FloatTag(), hn::IfThenElse(hn::Lt(e, hn::Set(d, 2)), small, normal)), g, scales);
    }
  }
};

// The one scale of a ternary block for all eight groups; it is the last of the block, read with the two bytes
// before.
template <class Block>
HWY_INLINE void TernaryScales(const SlabRows& rows, float* scales) {
  const FloatVec d = HighHalf(rows.Word(offsetof(Block, d) - 2));
  for (std::int64_t g = 0; g < 8; ++g) StoreLanes(d, g, scales);
}

struct TQ2_0Codes {
  static constexpr Type kType = Type::kTQ2_0;
  static constexpr int kGroup = 32, kOffset = 1, kLargest = 3, kWords = 16;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockTQ2_0);
  static HWY_INLINE WordVec Words(const std::uint8_t* slab, int first) { return LoadWords(slab + 4 * first); }
  template <int kStep>
  static HWY_INLINE WordVec Four(const std::uint32_t* words) {
    return StripedPairs<kStep>(words);
  }
  static HWY_INLINE void Scales(const SlabRows& rows, float* scales, float*) {
    TernaryScales<BlockTQ2_0>(rows, scales);
  }
};

struct TQ1_0Codes {
  static constexpr Type kType = Type::kTQ1_0;
  static constexpr int kGroup = 32, kOffset = 1, kLargest = 2, kWords = 13;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockTQ1_0);
  // A vector would end behind the block, which may be the last of its file.
  static HWY_INLINE WordVec Words(const std::uint8_t* slab, int first) {
    const WordTag d;
    const auto there = hn::FirstN(d, static_cast<std::size_t>(kWords - first));
    return hn::MaskedLoad(there, d, reinterpret_cast<const std::uint32_t*>(slab) + first);
  }
  // Eight words hold the columns to 160, four those to 240, one the last 16.
  template <int kStep>
  static HWY_INLINE WordVec Four(const std::uint32_t* words) {
    constexpr int kWord = kStep < 40 ? kStep % 8 : kStep < 60 ? 8 + kStep % 4 : 12;
    constexpr int kDigit = kStep < 40 ? kStep / 8 : kStep < 60 ? (kStep - 40) / 4 : kStep - 60;
    const WordVec four = hn::Load(WordTag(), words + kWord * kLanes);
    // UnpackTrit, for every other byte in words of twice the width.
    const hn::Repartition<std::uint16_t, WordTag> d;
    const auto byte = hn::Set(d, 255);
    const auto digits = [&](auto bytes) HWY_ATTR {
      const auto rest = hn::And(hn::Mul(bytes, hn::Set(d, kPowersOf3[kDigit])), byte);
      return hn::ShiftRight<8>(hn::Mul(rest, hn::Set(d, 3)));
    };
    const auto both = hn::BitCast(d, four);
    const auto even = digits(hn::And(both, byte)), odd = digits(hn::ShiftRight<8>(both));
    return hn::BitCast(WordTag(), hn::Or(even, hn::ShiftLeft<8>(odd)));
  }
  static HWY_INLINE void Scales(const SlabRows& rows, float* scales, float*) {
    TernaryScales<BlockTQ1_0>(rows, scales);
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
