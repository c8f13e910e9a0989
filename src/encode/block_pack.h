// Where the bits of a block's codes lie: the inverse of what the decoders of tensor/ unpack. Codes are
// unsigned integers, one per element, in the order of the elements.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/blocks.h"

namespace longspan {

using Codes = std::array<std::uint8_t, kBlock>;            // of the older types
using SuperCodes = std::array<std::uint8_t, kSuperBlock>;  // of the K types

// ---- The older types.

// The low four bits: elements i and i + 16 share a byte.
inline std::array<std::uint8_t, 16> PackNibbles(const Codes& codes) {
  std::array<std::uint8_t, 16> packed;
  for (int i = 0; i < 16; ++i)
    packed[i] = static_cast<std::uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
  return packed;
}

// The fifth bits: bit i of 32.
inline std::array<std::uint8_t, 4> PackFifthBits(const Codes& codes) {
  std::array<std::uint8_t, 4> packed{};
  for (int i = 0; i < kBlock; ++i) packed[i / 8] |= static_cast<std::uint8_t>((codes[i] >> 4 & 1) << i % 8);
  return packed;
}

// ---- Q4_K and Q5_K.

// The low four bits: sub-blocks 2i and 2i + 1 share 32 bytes, low nibbles and high nibbles.
inline std::array<std::uint8_t, 128> PackNibbles(const SuperCodes& codes) {
  std::array<std::uint8_t, 128> packed;
  for (int pair = 0; pair < 4; ++pair) {
    const std::uint8_t *first = codes.data() + 64 * pair, *second = first + 32;
    for (int i = 0; i < 32; ++i)
      packed[32 * pair + i] = static_cast<std::uint8_t>((first[i] & 15) | (second[i] & 15) << 4);
  }
  return packed;
}

// The fifth bits: those of sub-block s are bit s of 32 bytes.
inline std::array<std::uint8_t, 32> PackFifthBits(const SuperCodes& codes) {
  std::array<std::uint8_t, 32> packed{};
  for (int sub = 0; sub < 8; ++sub) {
    for (int i = 0; i < 32; ++i)
      packed[i] |= static_cast<std::uint8_t>((codes[32 * sub + i] >> 4 & 1) << sub);
  }
  return packed;
}

// ---- Q2_K and Q3_K: each half of a block is four stripes of 32 elements, which share 32 bytes.

// The low two bits.
inline std::array<std::uint8_t, 64> PackBitPairs(const SuperCodes& codes) {
  std::array<std::uint8_t, 64> packed;
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* c = codes.data() + 128 * half;
    for (int i = 0; i < 32; ++i) {
      packed[32 * half + i] = static_cast<std::uint8_t>((c[i] & 3) | (c[i + 32] & 3) << 2 |
                                                        (c[i + 64] & 3) << 4 | (c[i + 96] & 3) << 6);
    }
  }
  return packed;
}

// The third bits: those of stripe s of the whole block are bit s of 32 bytes.
inline std::array<std::uint8_t, 32> PackThirdBits(const SuperCodes& codes) {
  std::array<std::uint8_t, 32> packed{};
  for (int stripe = 0; stripe < 8; ++stripe) {
    for (int i = 0; i < 32; ++i)
      packed[i] |= static_cast<std::uint8_t>((codes[32 * stripe + i] >> 2 & 1) << stripe);
  }
  return packed;
}

// Q3_K's sixteen scales, with 32 added: low nibbles of 0-7 and of 8-15 share bytes 0-7, the high two bits of
// scales i, i + 4, i + 8 and i + 12 share byte 8 + i.
inline std::array<std::uint8_t, 12> PackQ3Scales(const std::array<std::uint8_t, 16>& scales) {
  std::array<std::uint8_t, 12> packed;
  for (int i = 0; i < 8; ++i)
    packed[i] = static_cast<std::uint8_t>((scales[i] & 15) | (scales[i + 8] & 15) << 4);
  for (int i = 0; i < 4; ++i) {
    packed[8 + i] = static_cast<std::uint8_t>(scales[i] >> 4 | (scales[i + 4] >> 4) << 2 |
                                              (scales[i + 8] >> 4) << 4 | (scales[i + 12] >> 4) << 6);
  }
  return packed;
}

// ---- Q6_K: each half of a block is four stripes of 32 elements. Stripes 0 and 2, and 1 and 3, share 32
// bytes of low nibbles; the upper two bits of all four share 32 bytes.

struct SixBits {
  std::array<std::uint8_t, 128> low;
  std::array<std::uint8_t, 64> high;
};

inline SixBits PackSixBits(const SuperCodes& codes) {
  SixBits packed;
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* c = codes.data() + 128 * half;
    for (int i = 0; i < 64; ++i)
      packed.low[64 * half + i] = static_cast<std::uint8_t>((c[i] & 15) | (c[i + 64] & 15) << 4);
    for (int i = 0; i < 32; ++i) {
      packed.high[32 * half + i] = static_cast<std::uint8_t>(c[i] >> 4 | (c[i + 32] >> 4) << 2 |
                                                             (c[i + 64] >> 4) << 4 | (c[i + 96] >> 4) << 6);
    }
  }
  return packed;
}

}  // namespace longspan
