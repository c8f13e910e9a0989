// Encoders of the quantised types: the inverse of tensor/block_codec.h. encode.h checks and chooses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/type.h"

namespace longspan {

// Encodes `elements` values (a whole number of quantised blocks, all finite); `importance` is null or one
// non-negative number per value.
using Encoder = void (*)(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// The encoder for this machine, or null for a type that is not of the family.
Encoder FindLegacyEncoder(Type type);   // Q8_0, Q4_0, Q4_1, Q5_0, Q5_1
Encoder FindKEncoder(Type type);        // Q2_K to Q6_K
Encoder FindLevelEncoder(Type type);    // IQ4_NL, IQ4_XS
Encoder FindMxfp4Encoder(Type type);    // MXFP4
Encoder FindTernaryEncoder(Type type);  // TQ1_0, TQ2_0
Encoder FindIqEncoder(Type type);       // IQ1, IQ2 and IQ3, whose codes are points of a code book

}  // namespace longspan
