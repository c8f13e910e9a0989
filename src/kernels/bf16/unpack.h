// Rows of any type as BF16, rounded to nearest, as fast as the tile unit takes them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/type.h"

namespace longspan::bf16 {

inline constexpr std::int64_t kChunk = 32;  // elements of a row that a row of a tile holds

// Writes `elements` (a whole number of the type's blocks) from `from`, chunk by chunk: chunk i is the kChunk
// numbers at to + i * stride, aligned to their 64 bytes; the last is filled up with zeros. Needs
// VectorsSupported().
void UnpackRow(Type type, const std::byte* from, std::int64_t elements, std::uint16_t* to,
               std::int64_t stride);

}  // namespace longspan::bf16
