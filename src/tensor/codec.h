// Decoding of every element type to float, block by block. Encoding lives in encode/.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/type.h"

namespace longspan {

// Decodes `elements` (a whole number of blocks) from `from` into `to`. Error(kUnsupported) for a type
// that longspan does not decode.
void DecodeRow(Type type, const std::byte* from, float* to, std::int64_t elements);

bool CanDecode(Type type);

}  // namespace longspan
