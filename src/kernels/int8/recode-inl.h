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

// Three bits. Codes 64 p + i and 64 p + 32 + i are bits 0-2 and 3-5 of byte 32 p + i, for p = 0, 1, 2. What
// is left holds the codes 192 + i and 224 + i: bits 6-7 of the bytes i and 32 + i are their bits 0-1, and
// bits 6 and 7 of byte 64 + i their bit 2.
inline std::array<std::uint8_t, 96> Threes(const BlockCodes& codes) {
  std::array<std::uint8_t, 96> threes;
  for (int p = 0; p < 3; ++p) {
    for (int i = 0; i < 32; ++i) {
      const int seventh = codes[192 + i], eighth = codes[224 + i];
      const int rest = p == 0 ? seventh & 3 : p == 1 ? eighth & 3 : seventh >> 2 | eighth >> 2 << 1;
      threes[32 * p + i] =
          static_cast<std::uint8_t>(codes[64 * p + i] | codes[64 * p + 32 + i] << 3 | rest << 6);
    }
  }
  return threes;
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
