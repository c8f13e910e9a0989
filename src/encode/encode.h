// Encoding of floats to an element type: the inverse of tensor/codec.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/type.h"

namespace longspan {

// Every float type, and every quantised one that CanDecode knows.
bool CanEncode(Type type);

// Encodes `elements` values (a whole number of blocks) from `from` to `to`. `importance` [elements] is null,
// or how much each column's error matters: the mean square of the activations it meets, finite and not
// negative; all zeros mean the same as null. A value that F16 or a block's scale cannot hold becomes the
// largest that it can. The bytes do not depend on the machine. Error(kInvalidFile) for a NaN or an infinity,
// Error(kUnsupported) for a type that longspan does not encode.
void EncodeRow(Type type, const float* from, std::byte* to, std::int64_t elements, const float* importance);

// The same for `rows` of `cols` values, one after the other, with `importance` [cols]: their blocks fill
// vectors together even if those of one row do not. Errors name the row, counted from `first_row`.
void EncodeRows(Type type, const float* from, std::byte* to, std::int64_t rows, std::int64_t cols,
                const float* importance, std::int64_t first_row = 0);

}  // namespace longspan
