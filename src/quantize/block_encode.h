// Encoders of the quantised types, one a type: the inverse of tensor/block_codec.h. `importance` is null or
// one non-negative number a value; values are finite. encode.h checks and chooses.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longspan {

// legacy_encode.cc: blocks of 32.
void EncodeQ8_0(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ4_0(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ4_1(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ5_0(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ5_1(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// k_encode.cc: blocks of 256.
void EncodeQ2_K(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ3_K(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ4_K(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ5_K(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeQ6_K(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// level_encode.cc: blocks of 32 and of 256.
void EncodeIQ4_NL(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ4_XS(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// mxfp4_encode.cc: blocks of 32.
void EncodeMXFP4(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// ternary_encode.cc: blocks of 256.
void EncodeTQ1_0(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeTQ2_0(const float* from, std::byte* to, std::int64_t elements, const float* importance);

// iq_encode.cc: blocks of 256 whose codes are points of a code book.
void EncodeIQ1_S(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ1_M(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ2_XXS(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ2_XS(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ2_S(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ3_XXS(const float* from, std::byte* to, std::int64_t elements, const float* importance);
void EncodeIQ3_S(const float* from, std::byte* to, std::int64_t elements, const float* importance);

}  // namespace longspan
