// Blocks of 256 codes, a byte each, packed column by column into bits. Types whose blocks in the file are
// slow to unpack come into strips this way.
#if defined(LONGSPAN_KERNELS_INT8_RECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_RECODE_INL_H_
#undef LONGSPAN_KERNELS_INT8_RECODE_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_RECODE_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstdint>

#include "tensor/blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

using BlockCodes = std::array<std::uint8_t, kSuperBlock>;

// Bits 0 and 1, as in Q2_K: those of code 128 h + 32 s + i are bit pair s of byte 32 h + i.
inline std::array<std::uint8_t, 64> BitPairs(const BlockCodes& codes) {
  std::array<std::uint8_t, 64> pairs{};
  for (int half = 0; half < 2; ++half) {
    for (int s = 0; s < 4; ++s) {
      for (int i = 0; i < 32; ++i)
        pairs[32 * half + i] |= static_cast<std::uint8_t>((codes[128 * half + 32 * s + i] & 3) << 2 * s);
    }
  }
  return pairs;
}

// Bit 2, as in Q3_K: that of code 32 g + i is bit g of byte i.
inline std::array<std::uint8_t, 32> ThirdBits(const BlockCodes& codes) {
  std::array<std::uint8_t, 32> bits{};
  for (int g = 0; g < 8; ++g) {
    for (int i = 0; i < 32; ++i) bits[i] |= static_cast<std::uint8_t>((codes[32 * g + i] >> 2 & 1) << g);
  }
  return bits;
}

// Nibbles, as in IQ4_XS: byte 16 g + i holds the codes 32 g + i and 32 g + i + 16.
inline std::array<std::uint8_t, 128> Nibbles(const BlockCodes& codes) {
  std::array<std::uint8_t, 128> nibbles;
  for (int g = 0; g < 8; ++g) {
    for (int i = 0; i < 16; ++i)
      nibbles[16 * g + i] = static_cast<std::uint8_t>(codes[32 * g + i] | codes[32 * g + i + 16] << 4);
  }
  return nibbles;
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
