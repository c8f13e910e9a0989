// How the codes and scales of each quantised type are read, a slab of 256 columns at a time.
//
// A type is a struct with
//   kGroup      elements that share a scale: 32 or 16
//   kOffset     what is subtracted from a code to get its integer: 0, or a power of two
//   kMinima     whether each group also has a minimum: x = scale * code - minimum
//   kLargest    the largest code
//   kSlabBytes  bytes of 256 elements of a row
//   Codes(slab, groups, codes)             one row's codes, in the order of its elements, as bytes
//   Quarter(slab, i)                       64 codes of a whole slab, if AVX-512 can make them in registers
//   Scales(words, groups, scales, minima)  the scales and minima of kLanes rows, one row a lane
// and, if all packed codes of a slab lie together, so that fewer words are transposed while they are packed,
//   kWords, kWordsAt                       how many words they are, and at which byte they begin
//   Unpack(words, codes)                   codes [64, kLanes, 4] out of words [kWords, kLanes]
// with the blocks as tensor/blocks.h describes them. Here are the types of 32 elements, in k_codes-inl.h the
// K types.
#if defined(LONGSPAN_KERNELS_INT8_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_CODES_INL_H_
#undef LONGSPAN_KERNELS_INT8_CODES_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_CODES_INL_H_
#endif

#include <hwy/highway.h>
#include <immintrin.h>

#include <algorithm>
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

inline constexpr std::int64_t kLanes = HWY_MAX_BYTES / sizeof(float);
// Whether one instruction multiplies unsigned by signed bytes and adds four products to a 32-bit lane.
inline constexpr bool kVnni = HWY_TARGET <= HWY_AVX3_DL;

HWY_INLINE WordVec LoadWords(const std::uint8_t* from) {
  return hn::BitCast(WordTag(), hn::LoadU(hn::Repartition<std::uint8_t, WordTag>(), from));
}

// Words of kLanes rows, one row a lane.
class RowWords {
 public:
  // Row i is at slab + min(i, rows - 1) * row_bytes.
  RowWords(const std::uint8_t* slab, std::int64_t row_bytes, std::int64_t rows)
      : slab_(slab), row_bytes_(row_bytes), last_(rows - 1) {
    const IntTag d;
    const IntVec row = hn::Min(hn::Iota(d, 0), hn::Set(d, static_cast<std::int32_t>(last_)));
    offsets_ = hn::Mul(row, hn::Set(d, static_cast<std::int32_t>(row_bytes)));
  }
  // The four bytes from `byte` of each row's slab on.
  HWY_INLINE WordVec At(std::int64_t byte) const {
    return hn::GatherOffset(WordTag(), reinterpret_cast<const std::uint32_t*>(slab_ + byte), offsets_);
  }
  // The four words from `byte` on, by shuffles, because gathering is slow.
  HWY_INLINE void FourAt(std::int64_t byte, WordVec (&words)[4]) const {
    const auto four = [&](std::int64_t row) HWY_ATTR {
      const std::uint8_t* from = slab_ + std::min(row, last_) * row_bytes_ + byte;
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    };
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
#if HWY_TARGET <= HWY_AVX3_DL
      const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i)), four(i + 4), 1);
      const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i + 8)), four(i + 12), 1);
      words[i].raw = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
#else
      words[i].raw = _mm256_inserti128_si256(_mm256_castsi128_si256(four(i)), four(i + 4), 1);
#endif
    }
    // Now each 128-bit block is a row of four words, and those of words[i] are of rows i, i + 4, and so on.
    const hn::Repartition<std::uint64_t, WordTag> d64;
    const WordTag d;
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, words[0], words[1]));
    const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, words[0], words[1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, words[2], words[3]));
    const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, words[2], words[3]));
    words[0] = hn::BitCast(d, hn::InterleaveLower(d64, low01, low23));
    words[1] = hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23));
    words[2] = hn::BitCast(d, hn::InterleaveLower(d64, high01, high23));
    words[3] = hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23));
  }

 private:
  const std::uint8_t* slab_;
  std::int64_t row_bytes_, last_;
  IntVec offsets_;
};

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

// The bytes that a type reads together: for most types 32, half a register on AVX-512.
template <int kBytes>
using ByteTag = hn::FixedTag<std::uint8_t, kBytes>;

template <int kBytes>
HWY_INLINE auto LoadBytes(const std::uint8_t* from) {
  return hn::LoadU(ByteTag<kBytes>(), from);
}
template <int kBytes, class V>
HWY_INLINE void StoreCodes(V v, std::uint8_t* to) {
  hn::Store(v, ByteTag<kBytes>(), to);
}
template <int kBytes, class V>
HWY_INLINE V LowNibbles(V v) {
  return hn::And(v, hn::Set(ByteTag<kBytes>(), 15));
}
template <class V>
HWY_INLINE V HighNibbles(V v) {
  return hn::ShiftRight<4>(v);
}
// `value` in the bytes of v that have the bit set.
template <int kBytes, class V>
HWY_INLINE V BitAs(V v, int bit, std::uint8_t value) {
  const ByteTag<kBytes> d;
  const auto mask = hn::Set(d, static_cast<std::uint8_t>(1 << bit));
  return hn::And(hn::VecFromMask(d, hn::Eq(hn::And(v, mask), mask)), hn::Set(d, value));
}

#if HWY_TARGET <= HWY_AVX3_DL
// The same 32 bytes in both halves of a register, shifted down by `low` bits in the lower half and by `high`
// bits in the upper one (up if negative). Bits of neighbouring bytes come along, so mask them.
HWY_INLINE __m512i ShiftedTwice(const std::uint8_t* bytes, int low, int high) {
  const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
  return _mm512_rorv_epi64(both, _mm512_set_epi64(high, high, high, high, low, low, low, low));
}
HWY_INLINE __m512i Masked(__m512i v, char mask) { return _mm512_and_si512(v, _mm512_set1_epi8(mask)); }
// v where the mask of each byte has ones, `other` elsewhere.
HWY_INLINE __m512i Selected(char mask, __m512i v, __m512i other) {
  return _mm512_ternarylogic_epi64(_mm512_set1_epi8(mask), v, other, 0xca);
}
#endif

// ---- Blocks of 32: a slab is eight of them.

struct Q8_0Codes {
  static constexpr Type kType = Type::kQ8_0;
  static constexpr int kGroup = 32, kOffset = 128, kLargest = 255;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockQ8_0);
  // Without VNNI codes stay signed: the sums of two products of a full byte would not fit 16 bits.
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    const ByteTag<32> d;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto q = LoadBytes<32>(slab + g * sizeof(BlockQ8_0) + 2);
      StoreCodes<32>(kVnni ? hn::Xor(q, hn::Set(d, 0x80)) : q, codes + 32 * g);
    }
  }
#if HWY_TARGET <= HWY_AVX3_DL
  static HWY_INLINE __m512i Quarter(const std::uint8_t* slab, int i) {
    const auto block = [&](int b) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(slab + b * sizeof(BlockQ8_0) + 2));
    };
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(block(2 * i)), block(2 * i + 1), 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
#endif
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float*) {
    for (std::int64_t g = 0; g < groups; ++g) StoreLanes(LowHalf(words.At(g * sizeof(BlockQ8_0))), g, scales);
  }
};

// Codes of the four types of 32 elements with 4 or 5 bits: nibbles begin at byte kCodesAt of a block, the
// fifth bits at kHighAt, or there are none (0).
template <std::int64_t kBlockBytes, int kCodesAt, int kHighAt>
HWY_INLINE void NibbleCodes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
  const ByteTag<16> d;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::uint8_t* block = slab + g * kBlockBytes;
    const auto q = LoadBytes<16>(block + kCodesAt);
    auto low = LowNibbles<16>(q), high = HighNibbles(q);
    if constexpr (kHighAt > 0) {
      // Bit i of the 32 bits belongs to element i: spread each byte over eight lanes and test a bit in each.
      alignas(16) static constexpr std::uint8_t kLow[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
      alignas(16) static constexpr std::uint8_t kHigh[16] = {2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
      alignas(16) static constexpr std::uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                                             1, 2, 4, 8, 16, 32, 64, 128};
      const auto bytes = LoadBytes<16>(block + kHighAt), bits = hn::Load(d, kBits), fifth = hn::Set(d, 16);
      const auto spread = [&](const std::uint8_t* order) {
        const auto tested = hn::And(hn::TableLookupBytes(bytes, hn::Load(d, order)), bits);
        return hn::And(hn::VecFromMask(d, hn::Eq(tested, bits)), fifth);
      };
      low = hn::Or(low, spread(kLow));
      high = hn::Or(high, spread(kHigh));
    }
    StoreCodes<16>(low, codes + 32 * g);
    StoreCodes<16>(high, codes + 32 * g + 16);
  }
}

struct Q4_0Codes {
  static constexpr Type kType = Type::kQ4_0;
  static constexpr int kGroup = 32, kOffset = 8, kLargest = 15;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockQ4_0);
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    NibbleCodes<sizeof(BlockQ4_0), 2, 0>(slab, groups, codes);
  }
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float*) {
    for (std::int64_t g = 0; g < groups; ++g) StoreLanes(LowHalf(words.At(g * sizeof(BlockQ4_0))), g, scales);
  }
};

struct Q5_0Codes {
  static constexpr Type kType = Type::kQ5_0;
  static constexpr int kGroup = 32, kOffset = 16, kLargest = 31;
  static constexpr bool kMinima = false;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockQ5_0);
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    NibbleCodes<sizeof(BlockQ5_0), 6, 2>(slab, groups, codes);
  }
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float*) {
    for (std::int64_t g = 0; g < groups; ++g) StoreLanes(LowHalf(words.At(g * sizeof(BlockQ5_0))), g, scales);
  }
};

// x = d q + m: the minimum is -m.
template <class Block>
HWY_INLINE void ScalesAndMinima(const RowWords& words, std::int64_t groups, float* scales, float* minima) {
  for (std::int64_t g = 0; g < groups; ++g) {
    const WordVec both = words.At(g * static_cast<std::int64_t>(sizeof(Block)));
    StoreLanes(LowHalf(both), g, scales);
    StoreLanes(hn::Neg(HighHalf(both)), g, minima);
  }
}

struct Q4_1Codes {
  static constexpr Type kType = Type::kQ4_1;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 15;
  static constexpr bool kMinima = true;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockQ4_1);
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    NibbleCodes<sizeof(BlockQ4_1), 4, 0>(slab, groups, codes);
  }
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float* minima) {
    ScalesAndMinima<BlockQ4_1>(words, groups, scales, minima);
  }
};

struct Q5_1Codes {
  static constexpr Type kType = Type::kQ5_1;
  static constexpr int kGroup = 32, kOffset = 0, kLargest = 31;
  static constexpr bool kMinima = true;
  static constexpr std::int64_t kSlabBytes = 8 * sizeof(BlockQ5_1);
  static void Codes(const std::uint8_t* slab, std::int64_t groups, std::uint8_t* codes) {
    NibbleCodes<sizeof(BlockQ5_1), 8, 4>(slab, groups, codes);
  }
  static void Scales(const RowWords& words, std::int64_t groups, float* scales, float* minima) {
    ScalesAndMinima<BlockQ5_1>(words, groups, scales, minima);
  }
};

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
