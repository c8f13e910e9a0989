// The code books of the IQ types written out as floats, and signs as masks. Decoding an octet is then two
// loads of eight, a product and an exclusive or.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tensor/iq_blocks.h"

namespace longspan {

template <std::size_t kPoints, std::size_t kValues>
using PointTable = std::array<std::array<float, kValues>, kPoints>;

extern const PointTable<256, 8> kPointsIQ2_XXS;
extern const PointTable<512, 8> kPointsIQ2_XS;
extern const PointTable<1024, 8> kPointsIQ2_S;
extern const PointTable<256, 4> kPointsIQ3_XXS;
extern const PointTable<512, 4> kPointsIQ3_S;
extern const PointTable<2048, 8> kPointsIQ1;  // before the shift

// The sign bits of an octet's floats.
extern const std::array<std::array<std::uint32_t, kOctet>, 256> kSignMasks;

}  // namespace longspan
