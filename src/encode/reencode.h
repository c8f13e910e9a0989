// A tensor's rows from one element type to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/function_ref.h"
#include "encode/unfit_values.h"
#include "tensor/type.h"

namespace longspan {

// Sums over values: the squares of what was lost, and of the values themselves.
struct EncodingError {
  double squared_error = 0, squared_sum = 0;
  UnfitValues unfit;  // encoded as TakeUnfit leaves them; callers refuse or report them

  // Adds the sums of rows that follow.
  void Add(const EncodingError& later);
};

// Reencodes `rows` of `cols` with all threads. `importance` [cols] is as EncodeRow's. The bytes and the error
// are the same on every machine. Error(kUnsupported) for a type that cannot be decoded or encoded.
[[nodiscard]] EncodingError Reencode(Type from_type, std::span<const std::byte> from, Type to_type,
                                     std::span<std::byte> to, std::int64_t rows, std::int64_t cols,
                                     const float* importance = nullptr);

// The same, but the output goes to `take`: whole rows, in order, a few MiB at a time, on a thread of its own
// while the next rows are being encoded. What `take` throws is rethrown here. Each piece of `from` that is
// done with is given to `release`.
[[nodiscard]] EncodingError ReencodeTo(FunctionRef<void(std::span<const std::byte>)> take,
                                       FunctionRef<void(std::span<const std::byte>)> release, Type from_type,
                                       std::span<const std::byte> from, Type to_type, std::int64_t rows,
                                       std::int64_t cols, const float* importance = nullptr);

}  // namespace longspan
