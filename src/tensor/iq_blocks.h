// Blocks of the IQ types of one to three bits, byte for byte as GGUF stores them (ggml's `block_iq*`). Groups
// of eight or four values share a code: the index of a point in a code book (iq1_grid.h, iq2_grids.h,
// iq3_grids.h). Points of IQ2 and IQ3 are magnitudes, and signs are stored beside them. A decoded value is
//
//   x = d (2 scale + 1) v,   v a level of the point, with its sign
//
// where d is the block's F16 scale, and scale a small integer of each sub-block of 32 or 16 values. That
// product is exact in a float. An octet is eight consecutive values: o is its index in the block (0-31) or,
// where said, in the sub-block of 32 (0-3). Point, Signs, ShiftsDown and Scale read what a block says of an
// octet (of IQ3: half of one) and of a sub-block.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/blocks.h"

namespace longspan {

inline constexpr int kOctet = 8;
inline constexpr int kOctets = kSuperBlock / kOctet;

// What the levels of the code books stand for.
inline constexpr std::array<float, 3> kLevels2{1, 3.125f, 5.375f};
inline constexpr std::array<float, 8> kLevels3_XXS{1, 3, 5, 7, 9, 11, 13, 15.5f};
inline constexpr std::array<float, 8> kLevels3_S{1, 3, 5, 7, 9, 11, 13, 15};
inline constexpr std::array<float, 3> kLevels1{-1, 0, 1};
// IQ1's values are shifted up by this, or down where the shift bit is set.
inline constexpr float kShift1 = 0.125f;

// An integer of two bytes at any address.
struct PackedU16 {
  std::array<std::uint8_t, 2> bytes;

  std::uint16_t value() const { return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8); }
  static PackedU16 From(unsigned v) {
    return {{static_cast<std::uint8_t>(v & 0xff), static_cast<std::uint8_t>(v >> 8 & 0xff)}};
  }
};

// The same of four bytes.
struct PackedU32 {
  std::array<std::uint8_t, 4> bytes;

  std::uint32_t value() const {
    return bytes[0] | std::uint32_t{bytes[1]} << 8 | std::uint32_t{bytes[2]} << 16 |
           std::uint32_t{bytes[3]} << 24;
  }
  static PackedU32 From(std::uint32_t v) {
    PackedU32 packed;
    for (int i = 0; i < 4; ++i) packed.bytes[i] = static_cast<std::uint8_t>(v >> 8 * i & 0xff);
    return packed;
  }
};

// ---- Signs. Bit i of a byte is set where value i of the octet is negative. IQ2_XXS, IQ2_XS and IQ3_XXS
// store only the first seven bits of a byte: the eighth makes the number of negative values even.

inline constexpr std::array<std::uint8_t, 128> kEvenSigns = [] {
  std::array<std::uint8_t, 128> signs{};
  for (unsigned s = 0; s < signs.size(); ++s)
    signs[s] = static_cast<std::uint8_t>(s | (std::popcount(s) & 1) << 7);
  return signs;
}();

// Of a sub-block of 32 (IQ2_XXS, IQ3_XXS): bits 7o to 7o + 6 are octet o's signs, bits 28-31 the scale.
struct SignsAndScale {
  PackedU32 packed;

  int scale() const { return packed.bytes[3] >> 4; }
  unsigned signs(int o) const { return kEvenSigns[packed.value() >> 7 * o & 127]; }
};

// ---- IQ2: one point of eight magnitudes per octet.

struct BlockIQ2_XXS {  // 2.0625 bits a value; 256 points; sub-blocks of 32
  struct Sub {
    std::array<std::uint8_t, 4> point;  // one per octet
    SignsAndScale rest;
  };
  PackedHalf d;
  std::array<Sub, 8> subs;

  unsigned Point(int o) const { return subs[o / 4].point[o % 4]; }
  unsigned Signs(int o) const { return subs[o / 4].rest.signs(o % 4); }
  int Scale(int sub) const { return subs[sub].rest.scale(); }
};

struct BlockIQ2_XS {  // 2.3125 bits; 512 points; sub-blocks of 16
  PackedHalf d;
  std::array<PackedU16, kOctets> code;  // bits 0-8 the point, bits 9-15 the signs
  std::array<std::uint8_t, 8> scales;   // two a byte, the first in the low nibble

  unsigned Point(int o) const { return code[o].value() & 511; }
  unsigned Signs(int o) const { return kEvenSigns[code[o].value() >> 9]; }
  int Scale(int sub) const { return scales[sub / 2] >> 4 * (sub % 2) & 15; }
};

struct BlockIQ2_S {  // 2.5625 bits; 1024 points; sub-blocks of 16; signs free
  PackedHalf d;
  std::array<std::uint8_t, kOctets> point;  // low eight bits
  std::array<std::uint8_t, kOctets> signs;
  std::array<std::uint8_t, 8> high;    // bits 2o and 2o + 1 of a byte: bits 8-9 of octet o of each 32
  std::array<std::uint8_t, 8> scales;  // two a byte, the first in the low nibble

  unsigned Point(int o) const { return point[o] | (high[o / 4] >> 2 * (o % 4) & 3) << 8; }
  unsigned Signs(int o) const { return signs[o]; }
  int Scale(int sub) const { return scales[sub / 2] >> 4 * (sub % 2) & 15; }
};

// ---- IQ3: two points of four magnitudes per octet: 2o and 2o + 1.

struct BlockIQ3_XXS {  // 3.0625 bits; 256 points; sub-blocks of 32
  PackedHalf d;
  std::array<std::uint8_t, 64> point;
  std::array<SignsAndScale, 8> rest;

  unsigned Point(int i) const { return point[i]; }
  unsigned Signs(int o) const { return rest[o / 4].signs(o % 4); }
  int Scale(int sub) const { return rest[sub].scale(); }
};

struct BlockIQ3_S {  // 3.4375 bits; 512 points; sub-blocks of 32; signs free
  PackedHalf d;
  std::array<std::uint8_t, 64> point;  // low eight bits
  std::array<std::uint8_t, 8> high;    // bit i of a byte: bit 8 of point i of each 32
  std::array<std::uint8_t, kOctets> signs;
  std::array<std::uint8_t, 4> scales;  // two a byte, the first in the low nibble

  unsigned Point(int i) const { return point[i] | (high[i / 8] >> i % 8 & 1) << 8; }
  unsigned Signs(int o) const { return signs[o]; }
  int Scale(int sub) const { return scales[sub / 2] >> 4 * (sub % 2) & 15; }
};

// ---- IQ1: one of 2048 points of eight values -1, 0, 1 per octet; three-bit scales.

struct BlockIQ1_S {  // 1.5625 bits; sub-blocks of 32
  PackedHalf d;
  std::array<std::uint8_t, kOctets> point;  // low eight bits
  // Bits 3o to 3o + 2: bits 8-10 of octet o's point. Bits 12-14: the scale. Bit 15: the shift is down.
  std::array<PackedU16, 8> high;

  unsigned Point(int o) const { return point[o] | (high[o / 4].value() >> 3 * (o % 4) & 7) << 8; }
  int Scale(int sub) const { return high[sub].value() >> 12 & 7; }
  bool ShiftsDown(int o) const { return high[o / 4].value() >> 15 != 0; }
};

struct BlockIQ1_M {                         // 1.75 bits; sub-blocks of 16; a shift for each octet
  std::array<std::uint8_t, kOctets> point;  // low eight bits
  // A nibble per octet, the first in the low one. Bits 0-2: bits 8-10 of the point. Bit 3: the shift is down.
  std::array<std::uint8_t, 16> high;
  // Bits 3i to 3i + 2 of each: the scale of sub-block i of 64 values. Bits 12-15: a nibble of d, lowest
  // first.
  std::array<PackedU16, 4> scales;

  unsigned Point(int o) const { return point[o] | (high[o / 2] >> 4 * (o % 2) & 7) << 8; }
  int Scale(int sub) const { return scales[sub / 4].value() >> 3 * (sub % 4) & 7; }
  bool ShiftsDown(int o) const { return (high[o / 2] >> (4 * (o % 2) + 3) & 1) != 0; }
  PackedHalf d() const {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) bits |= (scales[i].value() >> 12) << 4 * i;
    return {{static_cast<std::uint8_t>(bits & 0xff), static_cast<std::uint8_t>(bits >> 8)}};
  }
};

static_assert(sizeof(BlockIQ2_XXS) == 66 && alignof(BlockIQ2_XXS) == 1);
static_assert(sizeof(BlockIQ2_XS) == 74 && alignof(BlockIQ2_XS) == 1);
static_assert(sizeof(BlockIQ2_S) == 82 && alignof(BlockIQ2_S) == 1);
static_assert(sizeof(BlockIQ3_XXS) == 98 && alignof(BlockIQ3_XXS) == 1);
static_assert(sizeof(BlockIQ3_S) == 110 && alignof(BlockIQ3_S) == 1);
static_assert(sizeof(BlockIQ1_S) == 50 && alignof(BlockIQ1_S) == 1);
static_assert(sizeof(BlockIQ1_M) == 56 && alignof(BlockIQ1_M) == 1);

}  // namespace longspan
