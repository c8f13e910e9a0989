// Quantised blocks of weights, byte for byte as GGUF stores them (ggml's `block_*`). A block is `d` (and for
// some types a minimum) with small integer codes; x is the decoded value, q a code, i an element's index.
//
// All blocks are little-endian. They have alignment 1, because an offset in a file promises no more.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "tensor/float16.h"

namespace longspan {

static_assert(std::endian::native == std::endian::little, "GGUF's blocks are read in place");

// An F16 at any address.
struct PackedHalf {
  std::array<std::uint8_t, 2> bytes;

  std::uint16_t bits() const { return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8); }
  float ToFloat() const { return F16ToF32(bits()); }
  static PackedHalf FromFloat(float f) {
    const std::uint16_t h = F32ToF16(f);
    return {{static_cast<std::uint8_t>(h & 0xff), static_cast<std::uint8_t>(h >> 8)}};
  }
};

inline constexpr int kBlock = 32;        // elements of a block of the older types
inline constexpr int kSuperBlock = 256;  // elements of a block of the K types

// ---- The older types: 32 elements. Element i < 16 is the low nibble of q[i], element i + 16 the high one.

struct BlockQ8_0 {  // x = d q
  PackedHalf d;
  std::array<std::int8_t, 32> q;
};

struct BlockQ4_0 {  // x = d (q - 8)
  PackedHalf d;
  std::array<std::uint8_t, 16> q;
};

struct BlockQ4_1 {  // x = d q + m
  PackedHalf d;
  PackedHalf m;
  std::array<std::uint8_t, 16> q;
};

struct BlockQ5_0 {  // x = d (q - 16); bit i of the 32-bit `high` is element i's fifth bit
  PackedHalf d;
  std::array<std::uint8_t, 4> high;
  std::array<std::uint8_t, 16> q;
};

struct BlockQ5_1 {  // x = d q + m
  PackedHalf d;
  PackedHalf m;
  std::array<std::uint8_t, 4> high;
  std::array<std::uint8_t, 16> q;
};

// ---- The K types: 256 elements in sub-blocks of 16 or 32 that have small integer scales of their own.

struct BlockQ2_K {  // 16 sub-blocks of 16: x = d (scale & 15) q - dmin (scale >> 4)
  std::array<std::uint8_t, 16> scales;
  std::array<std::uint8_t, 64> q;
  PackedHalf d;
  PackedHalf dmin;
};

struct BlockQ3_K {  // 16 sub-blocks of 16: x = d (scale - 32) (q - 4)
  std::array<std::uint8_t, 32> high;
  std::array<std::uint8_t, 64> q;
  std::array<std::uint8_t, 12> scales;
  PackedHalf d;
};

struct BlockQ4_K {  // 8 sub-blocks of 32: x = d scale q - dmin min
  PackedHalf d;
  PackedHalf dmin;
  std::array<std::uint8_t, 12> scales;  // see UnpackScales
  std::array<std::uint8_t, 128> q;
};

struct BlockQ5_K {  // 8 sub-blocks of 32: x = d scale q - dmin min
  PackedHalf d;
  PackedHalf dmin;
  std::array<std::uint8_t, 12> scales;  // see UnpackScales
  std::array<std::uint8_t, 32> high;
  std::array<std::uint8_t, 128> q;
};

struct BlockQ6_K {  // 16 sub-blocks of 16: x = d scale (q - 32)
  std::array<std::uint8_t, 128> low;
  std::array<std::uint8_t, 64> high;
  std::array<std::int8_t, 16> scales;
  PackedHalf d;
};

// ---- Four bits that pick one of sixteen levels.

// IQ4_NL and IQ4_XS: denser near zero, as weights are. The format's constants.
inline constexpr std::array<std::int8_t, 16> kIq4Levels{-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};
// MXFP4: twice the values of E2M1, a float of four bits (OCP Microscaling Formats 1.0, 5.3.3). Code 8 is
// minus zero, which is zero here.
inline constexpr std::array<std::int8_t, 16> kMxfp4Levels{0, 1,  2,  3,  4,  6,  8,  12,
                                                          0, -1, -2, -3, -4, -6, -8, -12};

struct BlockIQ4_NL {  // 32 elements, nibbles as in Q4_0: x = d level[q]
  PackedHalf d;
  std::array<std::uint8_t, 16> q;
};

struct BlockIQ4_XS {  // 8 sub-blocks of 32, each with nibbles as in Q4_0: x = d (scale - 32) level[q]
  PackedHalf d;
  std::array<std::uint8_t, 2> high;  // bits 2 i and 2 i + 1 of the two bytes: the upper two bits of scale i
  std::array<std::uint8_t, 4> low;   // nibble i: the lower four
  std::array<std::uint8_t, 128> q;

  int Scale(int i) const {
    return ((low[i / 2] >> 4 * (i % 2) & 15) | (high[i / 4] >> 2 * (i % 4) & 3) << 4) - 32;
  }
  // `scales` are in [-32, 31].
  void SetScales(const std::array<int, 8>& scales) {
    low = {};
    high = {};
    for (int i = 0; i < 8; ++i) {
      const int stored = scales[i] + 32;
      low[i / 2] |= static_cast<std::uint8_t>((stored & 15) << 4 * (i % 2));
      high[i / 4] |= static_cast<std::uint8_t>(stored >> 4 << 2 * (i % 4));
    }
  }
};

struct BlockMXFP4 {  // 32 elements, nibbles as in Q4_0: x = 2^(e - 128) level[q]
  std::uint8_t e;
  std::array<std::uint8_t, 16> q;

  // Made from bits, because floats below 2^-126 are subnormal. 255 is NaN in the standard; here it is 2^127,
  // as in ggml.
  float d() const {
    return std::bit_cast<float>(e < 2 ? std::uint32_t{0x00200000} << e
                                      : static_cast<std::uint32_t>(e - 1) << 23);
  }
};

// ---- Ternary: 256 elements, x = d (q - 1).

struct BlockTQ1_0 {  // five codes a byte, see UnpackTrit
  // Byte i < 32: elements i, i + 32, ..., i + 128. Byte 32 + i: elements 160 + i, 176 + i, ..., 224 + i.
  std::array<std::uint8_t, 48> q;
  std::array<std::uint8_t, 4> high;  // elements 240 + i, 244 + i, 248 + i, 252 + i
  PackedHalf d;
};

struct BlockTQ2_0 {  // bit pairs, as in Q2_K: element 128 h + 32 s + i is bit pair s of q[32 h + i]
  std::array<std::uint8_t, 64> q;
  PackedHalf d;
};

// A byte of TQ1_0 is the fraction byte / 256 in base 3, and its first five digits are the codes: 188 / 256 is
// 0.20121... Drop the first n digits, multiply by 3, and the next digit is the whole part.
inline constexpr std::array<std::uint8_t, 5> kPowersOf3{1, 3, 9, 27, 81};
inline constexpr int UnpackTrit(std::uint8_t byte, int n) {
  const auto rest = static_cast<std::uint8_t>(byte * kPowersOf3[n]);
  return rest * 3 >> 8;
}

static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 1);
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);
static_assert(sizeof(BlockMXFP4) == 17 && alignof(BlockMXFP4) == 1);
static_assert(sizeof(BlockTQ1_0) == 54 && alignof(BlockTQ1_0) == 1);
static_assert(sizeof(BlockTQ2_0) == 66 && alignof(BlockTQ2_0) == 1);

// ---- The eight 6-bit scales and eight 6-bit minima of Q4_K and Q5_K, in 12 bytes:
//   bytes 0-3   scale i   | high two bits of scale i + 4      for i in 0-3
//   bytes 4-7   min i     | high two bits of min i + 4
//   bytes 8-11  low four bits of scale i + 4 | low four bits of min i + 4

struct SubScales {
  std::array<std::uint8_t, 8> scale;
  std::array<std::uint8_t, 8> min;
};

inline SubScales UnpackScales(const std::array<std::uint8_t, 12>& p) {
  SubScales s;
  for (int i = 0; i < 4; ++i) {
    s.scale[i] = p[i] & 63;
    s.min[i] = p[i + 4] & 63;
    s.scale[i + 4] = static_cast<std::uint8_t>((p[i + 8] & 15) | (p[i] >> 6) << 4);
    s.min[i + 4] = static_cast<std::uint8_t>(p[i + 8] >> 4 | (p[i + 4] >> 6) << 4);
  }
  return s;
}

inline std::array<std::uint8_t, 12> PackScales(const SubScales& s) {
  std::array<std::uint8_t, 12> p;
  for (int i = 0; i < 4; ++i) {
    p[i] = static_cast<std::uint8_t>(s.scale[i] | (s.scale[i + 4] >> 4) << 6);
    p[i + 4] = static_cast<std::uint8_t>(s.min[i] | (s.min[i + 4] >> 4) << 6);
    p[i + 8] = static_cast<std::uint8_t>((s.scale[i + 4] & 15) | (s.min[i + 4] & 15) << 4);
  }
  return p;
}

}  // namespace longspan
