// The search for the codes of an IQ block.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/blocks.h"
#include "tensor/type.h"

namespace longspan {

// The contents of an IQ quantised block, not yet packed. `points` has one entry per octet (IQ1, IQ2) or two
// (IQ3); `signs` are an octet's sign bits, or for IQ1 whether its shift is down (1) or up (0); `scales` has
// one entry per sub-block of 32 or 16.
struct IqCodes {
  PackedHalf d{};
  std::array<std::uint8_t, 16> scales{};
  std::array<std::uint16_t, 64> points{};
  std::array<std::uint8_t, 32> signs{};
};

// For the seven types of tensor/iq_blocks.h: `from` and `importance` (or null) have kSuperBlock finite
// values, and importances are not negative. The search minimises the square error weighted by importance. The
// codes are the same on every machine.
IqCodes FitIq(Type type, const float* from, const float* importance);

}  // namespace longspan
