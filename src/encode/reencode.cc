#include "encode/reencode.h"

#include <algorithm>
#include <array>
#include <future>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "encode/encode.h"
#include "encode/float_rows.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

// Values of a task: so many that the cost of handing it out does not matter.
constexpr std::int64_t kTaskValues = 16384;

// Bytes that are handed on at once: many compared with the cost of a thread, few compared with a tensor,
// because the encoders are idle while the last piece of a tensor is handed on.
constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;

// Reencode of rows that messages number from `first_row` on.
EncodingError ReencodeRows(Type from_type, std::span<const std::byte> from, Type to_type,
                           std::span<std::byte> to, std::int64_t rows, std::int64_t cols,
                           const float* importance, std::int64_t first_row) {
  const std::int64_t from_bytes = RowBytes(from_type, cols), to_bytes = RowBytes(to_type, cols);
  if (!std::cmp_equal(from.size(), rows * from_bytes) || !std::cmp_equal(to.size(), rows * to_bytes)) {
    Fail(ErrorKind::kInternal, "{} rows of {} do not fill the memory given", rows, cols);
  }
  const std::int64_t step = std::max<std::int64_t>(1, kTaskValues / std::max<std::int64_t>(1, cols));
  // Sums are kept by task, because the total must not depend on the threads.
  std::vector<EncodingError> errors(static_cast<std::size_t>((rows + step - 1) / step));
  ParallelFor(std::ssize(errors), [&](std::int64_t task) {
    ThrowIfCancelled();
    const std::int64_t first = task * step, count = std::min(step, rows - first), elements = count * cols;
    AlignedVector<float> values(static_cast<std::size_t>(elements)), decoded(static_cast<std::size_t>(cols));
    const std::byte* source = from.data() + first * from_bytes;
    std::byte* encoded = to.data() + first * to_bytes;
    if (from_type == Type::kF16)
      DecodeHalves(source, values.data(), elements);
    else
      DecodeRow(from_type, source, values.data(), elements);
    EncodingError& error = errors[task];
    error.unfit = TakeUnfit(to_type, values.data(), count, cols, first_row + first);
    EncodeRows(to_type, values.data(), encoded, count, cols, importance, first_row + first);
    for (std::int64_t row = 0; row < count; ++row) {
      DecodeRow(to_type, encoded + row * to_bytes, decoded.data(), cols);
      AddSquares(values.data() + row * cols, decoded.data(), cols, error);
    }
  });
  EncodingError total;
  for (const EncodingError& error : errors) total.Add(error);
  return total;
}

}  // namespace

void EncodingError::Add(const EncodingError& later) {
  squared_error += later.squared_error;
  squared_sum += later.squared_sum;
  unfit.Add(later.unfit);
}

EncodingError Reencode(Type from_type, std::span<const std::byte> from, Type to_type, std::span<std::byte> to,
                       std::int64_t rows, std::int64_t cols, const float* importance) {
  return ReencodeRows(from_type, from, to_type, to, rows, cols, importance, 0);
}

EncodingError ReencodeTo(FunctionRef<void(std::span<const std::byte>)> take,
                         FunctionRef<void(std::span<const std::byte>)> release, Type from_type,
                         std::span<const std::byte> from, Type to_type, std::int64_t rows, std::int64_t cols,
                         const float* importance) {
  const std::int64_t from_bytes = RowBytes(from_type, cols), to_bytes = RowBytes(to_type, cols);
  if (!std::cmp_equal(from.size(), rows * from_bytes)) {
    Fail(ErrorKind::kInternal, "{} bytes are not {} rows of {}", from.size(), rows, cols);
  }
  const std::int64_t step = std::clamp<std::int64_t>(kPieceBytes / std::max<std::int64_t>(1, to_bytes), 1,
                                                     std::max<std::int64_t>(1, rows));
  if (rows == 0) take({});
  std::array<AlignedVector<std::byte>, 2> pieces;
  for (auto& piece : pieces) piece.resize(step * to_bytes);
  EncodingError total;
  std::future<void> taking;  // declared after the pieces, so that it ends before they are freed
  for (std::int64_t row = 0, turn = 0; row < rows; row += step, turn ^= 1) {
    const std::int64_t count = std::min(step, rows - row);
    const std::span piece(pieces[turn].data(), static_cast<std::size_t>(count * to_bytes));
    const auto source = from.subspan(row * from_bytes, count * from_bytes);
    total.Add(ReencodeRows(from_type, source, to_type, piece, count, cols, importance, row));
    release(source);
    if (taking.valid()) taking.get();
    taking = std::async(std::launch::async, [&take, piece] { take(piece); });
  }
  if (taking.valid()) taking.get();
  return total;
}

}  // namespace longspan
