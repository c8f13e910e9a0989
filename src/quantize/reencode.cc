#include "quantize/reencode.h"

#include <algorithm>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "quantize/encode.h"
#include "quantize/float_rows.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

// Values of a task: enough that handing it out costs nothing beside it.
constexpr std::int64_t kTaskValues = 16384;

}  // namespace

EncodingError Reencode(Type from_type, std::span<const std::byte> from, Type to_type, std::span<std::byte> to,
                       std::int64_t rows, std::int64_t cols, const float* importance) {
  const std::int64_t from_bytes = RowBytes(from_type, cols), to_bytes = RowBytes(to_type, cols);
  if (!std::cmp_equal(from.size(), rows * from_bytes) || !std::cmp_equal(to.size(), rows * to_bytes)) {
    Fail(ErrorKind::kInternal, "{} rows of {} do not fill the memory given", rows, cols);
  }
  const std::int64_t step = std::max<std::int64_t>(1, kTaskValues / std::max<std::int64_t>(1, cols));
  // Sums are kept by task, for the total must not depend on the threads.
  std::vector<EncodingError> errors(static_cast<std::size_t>((rows + step - 1) / step));
  ParallelFor(std::ssize(errors), [&](std::int64_t task) {
    ThrowIfCancelled();
    AlignedVector<float> values(static_cast<std::size_t>(cols)), decoded(values.size());
    EncodingError& error = errors[static_cast<std::size_t>(task)];
    for (std::int64_t row = task * step; row < std::min(rows, (task + 1) * step); ++row) {
      const std::byte* source = from.data() + row * from_bytes;
      std::byte* encoded = to.data() + row * to_bytes;
      if (from_type == Type::kF16)
        DecodeHalves(source, values.data(), cols);
      else
        DecodeRow(from_type, source, values.data(), cols);
      try {
        EncodeRow(to_type, values.data(), encoded, cols, importance);
      } catch (const Error& e) {
        throw Error(e.kind(), fmt::format("row {}, {}", row, e.what()));
      }
      DecodeRow(to_type, encoded, decoded.data(), cols);
      AddSquares(values.data(), decoded.data(), cols, error);
    }
  });
  EncodingError total;
  for (const EncodingError& error : errors) {
    total.squared_error += error.squared_error;
    total.squared_sum += error.squared_sum;
  }
  return total;
}

}  // namespace longspan
