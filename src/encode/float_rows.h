// Loops over rows of floats that run beside the encoders of a conversion, at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "encode/reencode.h"

namespace longspan {

// F16 at any address to floats.
void DecodeHalves(const std::byte* from, float* to, std::int64_t elements);

// Whether no magnitude is above `largest`, which is finite, and none is a NaN.
bool AllWithin(const float* x, std::int64_t elements, float largest);

// Whether none is a NaN or an infinity.
bool AllFinite(const float* x, std::int64_t elements);

// Adds the squares of x - y and of x. It does so in double precision and in one order for every instruction
// set.
void AddSquares(const float* x, const float* y, std::int64_t elements, EncodingError& sums);

}  // namespace longspan
