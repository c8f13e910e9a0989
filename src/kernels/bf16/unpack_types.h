// UnpackRow, type by type; the types without a function go through DecodeRow.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longspan::bf16 {

// unpack_floats.cc
void UnpackF32(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackF16(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackBF16(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);

// unpack_blocks.cc
void UnpackQ8_0(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackQ4_0(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackQ4_1(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackQ4_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackQ5_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackQ6_K(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackIQ4_NL(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackIQ4_XS(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);
void UnpackMXFP4(const std::byte* from, std::int64_t elements, std::uint16_t* to, std::int64_t stride);

}  // namespace longspan::bf16
