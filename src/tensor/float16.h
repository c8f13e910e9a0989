// Half-precision formats as bits. IEEE 754 binary16 (F16) and its truncated-binary32 cousin (BF16); both
// round to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

namespace longspan {

inline float F16ToF32(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000) << 16;
  const std::uint32_t rest = h & 0x7fff;
  // Shifting into place gives the value times 2^-112; the product is exact, subnormals included. Infinity and
  // NaN need a larger exponent instead. A choice of two values, unlike a branch, lets loops over halves
  // vectorise.
  const auto scaled = std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest << 13) * 0x1p112f);
  const std::uint32_t magnitude = rest >= 0x7c00 ? rest << 13 | 0x7f800000 : scaled;
  return std::bit_cast<float>(magnitude | sign);
}

inline std::uint16_t F32ToF16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // rounds to 65536 or more: infinity
  if (magnitude < 0x38800000) {
    // Subnormal: adding 0.5 lines the wanted bits up at the bottom of the mantissa, rounding on the way.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(sum) - 0x3f000000);
  }
  const std::uint32_t odd = magnitude >> 13 & 1;
  return sign | static_cast<std::uint16_t>((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

inline float BF16ToF32(std::uint16_t h) { return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16); }

inline std::uint16_t F32ToBF16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return static_cast<std::uint16_t>(bits >> 16 | 0x40);  // quiet the NaN
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace longspan
