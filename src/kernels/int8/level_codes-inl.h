// Codes and scales of the types whose codes pick a level (IQ4_NL, IQ4_XS, MXFP4) or are signs (TQ1_0, TQ2_0),
// as codes-inl.h describes them.
#if defined(LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_LEVEL_CODES_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/k_codes-inl.h"
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

// Blocks or sub-blocks of 32, kStride apart, whose 16 bytes of nibbles pick from `table`.
template <std::int64_t kStride>
HWY_INLINE void LookUp(const std::uint8_t* nibbles, std::int64_t groups, const std::uint8_t* table,
                       std::uint8_t* codes) {
  const auto levels = LoadBytes<16>(table);
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto q = LoadBytes<16>(nibbles + g * kStride);
    StoreCodes<16>(hn::TableLookupBytes(levels, LowNibbles<16>(q)), codes + 32 * g);
    StoreCodes<16>(hn::TableLookupBytes(levels, HighNibbles(q)), codes + 32 * g + 16);
  }
}

#if HWY_TARGET <= HWY_AVX3_DL
// The same for two blocks, in a register.
template <std::int64_t kStride>
HWY_INLINE __m512i LookUpTwo(const std::uint8_t* nibbles, const std::uint8_t* table) {
  const auto load = [](const std::uint8_t* from)
                        HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
  const __m256i first = _mm256_broadcastsi128_si256(load(nibbles));
  const __m256i second = _mm256_broadcastsi128_si256(load(nibbles + kStride));
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  const __m512i index = Masked(_mm512_srlv_epi64(both, _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0)), 15);
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load(table)), index);
}
#endif

// IQ4's levels need whole bytes, so they are treated as Q8_0's codes.
alignas(16) inline constexpr auto kIq4Codes = LevelCodes(kIq4Levels, kVnni ? 128 : 0);
alignas(16) inline constexpr auto kMxfp4Codes = LevelCodes(kMxfp4Levels, 16);

// Types with nibbles from byte kNibblesAt of a slab on.
template <const std::array<std::uint8_t, 16>& kTable, std::int64_t kNibblesAt, std::int64_t kStride>
struct LevelsOf32 {
  static constexpr int kGroup = 32;
  static constexpr bool kMinima = false;
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    LookUp<kStride>(slab + kNibblesAt, groups, kTable.data(), codes);
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    return LookUpTwo<kStride>(slab + kNibblesAt + 2 * i * kStride, kTable.data());
  }
#endif
};

struct IQ4_NLCodes : LevelsOf32<kIq4Codes, offsetof(BlockIQ4_NL, q), sizeof(BlockIQ4_NL)> {
  static constexpr Type kType = Type::kIQ4_NL;
  static constexpr int kOffset = 128, kLargest = 255;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockIQ4_NL);
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float*) {
    for (std::int64_t g = 0; g < groups; ++g)
      StoreLanes(LowHalf(words.At(g * sizeof(BlockIQ4_NL))), g, scales);
  }
};

struct IQ4_XSCodes : LevelsOf32<kIq4Codes, offsetof(BlockIQ4_XS, q), 16> {
  static constexpr Type kType = Type::kIQ4_XS;
  static constexpr int kOffset = 128, kLargest = 255;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockIQ4_XS);
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    const WordTag d;
    const WordVec begin = words.At(offsetof(BlockIQ4_XS, d)), low = words.At(offsetof(BlockIQ4_XS, low));
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

struct MXFP4Codes : LevelsOf32<kMxfp4Codes, offsetof(BlockMXFP4, q), sizeof(BlockMXFP4)> {
  static constexpr Type kType = Type::kMXFP4;
  static constexpr int kOffset = 16, kLargest = 28;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockMXFP4);
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float*) {
    const WordTag d;
    for (std::int64_t g = 0; g < groups; ++g) {
      // As BlockMXFP4::d.
      const WordVec e = hn::And(words.At(g * sizeof(BlockMXFP4)), hn::Set(d, 255));
      const WordVec normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1)));
      const WordVec small = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1)));  // of 0 and 1
      StoreLanes(hn::BitCast(FloatTag(), hn::IfThenElse(hn::Lt(e, hn::Set(d, 2)), small, normal)), g, scales);
    }
  }
};

// The one scale of a ternary block, for all eight groups. It ends the block, so it is read with the two bytes
// before it.
template <class Block>
HWY_INLINE void TernaryScales(const RowWords& words, float* scales) {
  const FloatVec d = HighHalf(words.At(offsetof(Block, d) - 2));
  for (std::int64_t g = 0; g < 8; ++g) StoreLanes(d, g, scales);
}

struct TQ2_0Codes {
  static constexpr Type kType = Type::kTQ2_0;
  static constexpr int kGroup = 32, kOffset = 1, kLargest = 3;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockTQ2_0);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    for (int half = 0; half < 2; ++half) {
      const auto q = LoadBytes<32>(slab + 32 * half);
      for (int stripe = 0; stripe < 4; ++stripe)
        StoreCodes<32>(BitPair(q, stripe), codes + 128 * half + 32 * stripe);
    }
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    return Masked(ShiftedTwice(slab + 32 * (i / 2), 4 * (i % 2), 4 * (i % 2) + 2), 3);
  }
#endif
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    TernaryScales<BlockTQ2_0>(words, scales);
  }
};

struct TQ1_0Codes {
  static constexpr Type kType = Type::kTQ1_0;
  static constexpr int kGroup = 32, kOffset = 1, kLargest = 2;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = sizeof(BlockTQ1_0);
  static void Codes(const std::uint8_t* slab, std::int64_t, std::uint8_t* codes) {
    Digits<32>(slab + offsetof(BlockTQ1_0, q), codes);
    Digits<16>(slab + offsetof(BlockTQ1_0, q) + 32, codes + 160);
    for (int n = 0; n < 4; ++n) {
      for (int i = 0; i < 4; ++i) {
        codes[240 + 4 * n + i] = static_cast<std::uint8_t>(
            UnpackTrit(slab[offsetof(BlockTQ1_0, high) + static_cast<std::size_t>(i)], n));
      }
    }
  }
  static void Scales(const RowWords& words, std::int64_t, float* scales, float*) {
    TernaryScales<BlockTQ1_0>(words, scales);
  }

 private:
  // UnpackTrit of kBytes bytes, for five digits. Three times a byte is 256 or more from 86 on, and 512 from
  // 171 on.
  template <int kBytes>
  static HWY_INLINE void Digits(const std::uint8_t* packed, std::uint8_t* codes) {
    const ByteTag<kBytes> d;
    const auto one = hn::Set(d, 1);
    const auto at_least = [&](auto v, std::uint8_t bound) HWY_ATTR {
      return hn::And(hn::VecFromMask(d, hn::Eq(hn::Max(v, hn::Set(d, bound)), v)), one);
    };
    auto rest = LoadBytes<kBytes>(packed);
    for (int n = 0; n < 5; ++n) {
      StoreCodes<kBytes>(hn::Add(at_least(rest, 86), at_least(rest, 171)), codes + kBytes * n);
      rest = hn::Add(hn::Add(rest, rest), rest);
    }
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
