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
#include <cstring>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/k_codes-inl.h"
#include "kernels/int8/recode-inl.h"
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

// IQ4's levels need whole bytes, so they are treated as Q8_0's codes.
alignas(16) inline constexpr auto kIq4Codes = LevelCodes(kIq4Levels, kVnni ? 128 : 0);
alignas(16) inline constexpr auto kMxfp4Codes = LevelCodes(kMxfp4Levels, 16);

// Nibbles of four words, which pick from a table: elements 0-15 are the low ones.
HWY_INLINE void LevelNibbles(const std::uint8_t* table, const std::uint32_t* words, WordVec (&codes)[8]) {
  NibbleCodes(words, codes);
#pragma GCC unroll 8
  for (WordVec& c : codes) c = LookUp(table, c);
}

struct IQ4_NLCodes : BlocksOf32 {
  static constexpr Type kType = Type::kIQ4_NL;
  static constexpr int kOffset = 128, kLargest = 255;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockIQ4_NL), kWordsAt = 2, kWords = 4, kHalfAt = 0;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    LevelNibbles(kIq4Codes.data(), words, codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float*) {
    HalfScales(slab, groups, scales);
  }
};

struct IQ4_XSCodes : BlocksOf256 {
  static constexpr Type kType = Type::kIQ4_XS;
  static constexpr int kGroup = 32, kOffset = 128, kLargest = 255;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockIQ4_XS), kWordsAt = 0, kWords = 34, kHalfAt = -1;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    LevelNibbles(kIq4Codes.data(), words + (WordIndex(offsetof(BlockIQ4_XS, q)) + 4 * G::value) * kLanes,
                 codes);
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) {
    const WordTag d;
    const WordVec begin = slab.Word(0), low = slab.Word(1);
    const FloatVec unit = LowHalf(begin);
    for (int i = 0; i < 8; ++i) {
      const WordVec low4 = hn::And(hn::ShiftRightSame(low, 4 * i), hn::Set(d, 15));
      const WordVec high2 = hn::And(hn::ShiftRightSame(begin, 16 + 2 * i), hn::Set(d, 3));
      const IntVec stored = hn::BitCast(IntTag(), hn::Or(low4, hn::ShiftLeft<4>(high2)));
      const IntVec multiple = hn::Sub(stored, hn::Set(IntTag(), 32));
      StoreLanes(hn::Mul(unit, hn::ConvertTo(FloatTag(), multiple)), i, scales);
    }
  }
};

struct MXFP4Codes : BlocksOf32 {
  static constexpr Type kType = Type::kMXFP4;
  static constexpr int kOffset = 16, kLargest = 28;
  static constexpr bool kMinima = false;
  // The exponent is the first of the two bytes from 0 on.
  static constexpr int kBlockBytes = sizeof(BlockMXFP4), kWordsAt = 1, kWords = 4, kHalfAt = 0;
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
    LevelNibbles(kMxfp4Codes.data(), words, codes);
  }
  static void Scales(const Slab& slab, std::int64_t groups, float* scales, float*) {
    const WordTag d;
    for (std::int64_t g = 0; g < groups; ++g) {
      // As BlockMXFP4::d.
      const WordVec e = hn::And(slab.Half(g), hn::Set(d, 255));
      const WordVec normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1)));
      const WordVec small = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1)));  // of 0 and 1
      StoreLanes(hn::BitCast(FloatTag(), hn::IfThenElse(hn::Lt(e, hn::Set(d, 2)), small, normal)), g, scales);
    }
  }
};

// The one scale of a ternary block, for all eight groups.
HWY_INLINE void TernaryScales(const Slab& slab, float* scales) {
  const FloatVec d = slab.HalfFloat(0);
  for (std::int64_t g = 0; g < 8; ++g) StoreLanes(d, g, scales);
}

struct TQ2_0Codes : BlocksOf256 {
  static constexpr Type kType = Type::kTQ2_0;
  static constexpr int kGroup = 32, kOffset = 1, kLargest = 3;
  static constexpr bool kMinima = false;
  static constexpr int kBlockBytes = sizeof(BlockTQ2_0), kWordsAt = 0, kWords = 16,
                       kHalfAt = offsetof(BlockTQ2_0, d);
  template <class G>
  static HWY_INLINE void Codes(const std::uint32_t* words, G, WordVec (&codes)[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = Bits<2 * (G::value % 4), 2>(WordAt(words, 8 * (G::value / 4) + s));
  }
  static void Scales(const Slab& slab, std::int64_t, float* scales, float*) { TernaryScales(slab, scales); }
};

// Strips hold bit pairs: five codes a byte take longer to unpack than the memory that they save.
struct TQ1_0Codes : TQ2_0Codes {
  static constexpr Type kType = Type::kTQ1_0;
  static constexpr int kBlockBytes = sizeof(BlockTQ1_0);
  using Recoded = BlockTQ2_0;
  static void Recode(const std::uint8_t* from, Recoded& to) {
    BlockTQ1_0 block;
    std::memcpy(&block, from, sizeof(block));
    alignas(64) BlockCodes codes;
    // Columns are digit after digit of the bytes 0-31, then of 32-47, then of the last four.
    for (int n = 0; n < 5; ++n) {
      for (int i = 0; i < 32; ++i) codes[32 * n + i] = static_cast<std::uint8_t>(UnpackTrit(block.q[i], n));
      for (int i = 0; i < 16; ++i)
        codes[160 + 16 * n + i] = static_cast<std::uint8_t>(UnpackTrit(block.q[32 + i], n));
    }
    for (int n = 0; n < 4; ++n) {
      for (int i = 0; i < 4; ++i)
        codes[240 + 4 * n + i] = static_cast<std::uint8_t>(UnpackTrit(block.high[i], n));
    }
    to = {BitPairs(codes), block.d};
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
