// Decoders of the quantised types, one per type. Each decodes a whole number of quantised blocks from `from`,
// at any address, into `to` [elements]. codec.h chooses among them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longspan {

// legacy_codec.cc: blocks of 32.
void DecodeQ8_0(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ4_0(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ4_1(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ5_0(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ5_1(const std::byte* from, float* to, std::int64_t elements);

// k_codec.cc: blocks of 256.
void DecodeQ2_K(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ3_K(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ4_K(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ5_K(const std::byte* from, float* to, std::int64_t elements);
void DecodeQ6_K(const std::byte* from, float* to, std::int64_t elements);

// level_codec.cc: four bits that pick a level; blocks of 32, and of 256 (IQ4_XS).
void DecodeIQ4_NL(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ4_XS(const std::byte* from, float* to, std::int64_t elements);
void DecodeMXFP4(const std::byte* from, float* to, std::int64_t elements);

// ternary_codec.cc: blocks of 256.
void DecodeTQ1_0(const std::byte* from, float* to, std::int64_t elements);
void DecodeTQ2_0(const std::byte* from, float* to, std::int64_t elements);
// iq_codec.cc: blocks of 256 whose codes are points of a code book.
void DecodeIQ1_S(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ1_M(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ2_XXS(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ2_XS(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ2_S(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ3_XXS(const std::byte* from, float* to, std::int64_t elements);
void DecodeIQ3_S(const std::byte* from, float* to, std::int64_t elements);

}  // namespace longspan
