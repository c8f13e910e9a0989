// The code books of the IQ types written out as floats and as bytes, and signs as masks. Decoding an octet is
// then two loads of eight, a product and an exclusive or.
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

// The same points as indices of levels, a byte each.
template <std::size_t kPoints, std::size_t kValues>
using LevelTable = std::array<std::array<std::uint8_t, kValues>, kPoints>;

extern const LevelTable<256, 8> kLevelsIQ2_XXS;
extern const LevelTable<512, 8> kLevelsIQ2_XS;
extern const LevelTable<1024, 8> kLevelsIQ2_S;
extern const LevelTable<256, 4> kLevelsIQ3_XXS;
extern const LevelTable<512, 4> kLevelsIQ3_S;
extern const LevelTable<2048, 8> kLevelsIQ1;

// The sign bits of an octet's floats.
extern const std::array<std::array<std::uint32_t, kOctet>, 256> kSignMasks;

}  // namespace longspan
