#include "convert/tensor_stream.h"

#include <algorithm>

#include "base/cancel.h"
#include "base/memory.h"
#include "encode/reencode.h"

namespace longspan {

UnfitValues StreamTensor(const TensorStream& s, FunctionRef<void(std::span<const std::byte>)> take,
                         FunctionRef<void(std::span<const std::byte>)> release) {
  const std::int64_t from_bytes = RowBytes(s.from, s.cols), to_bytes = RowBytes(s.to, s.cols);
  const std::int64_t unit = s.order ? s.order->head_dim : 1;  // rows that stay together
  const std::int64_t step =
      std::max<std::int64_t>(1, kStreamPiece / std::max(from_bytes, to_bytes) / unit) * unit;
  AlignedVector<std::byte> permuted, encoded;
  UnfitValues unfit;
  for (std::int64_t row = 0; row < s.rows; row += step) {
    ThrowIfCancelled();
    const std::int64_t n = std::min(step, s.rows - row);
    const auto source = s.bytes.subspan(row * from_bytes, n * from_bytes);
    std::span<const std::byte> piece = source;
    if (s.order) {
      permuted.resize(piece.size());
      PermuteRows(piece, permuted, static_cast<std::size_t>(from_bytes), s.order->head_dim, s.order->to);
      piece = permuted;
    }
    if (s.from != s.to) {
      encoded.resize(n * to_bytes);
      UnfitValues found = Reencode(s.from, piece, s.to, encoded, n, s.cols).unfit;
      if (found.any()) found.row += row;
      unfit.Add(found);
      piece = encoded;
    }
    take(piece);
    release(source);
  }
  CheckUnfit(unfit, s.to, s.too_large);
  return unfit;
}

void SetMeasures(TensorStream& stream, const std::vector<std::int64_t>& shape) {
  stream.rows = 1;
  for (const std::int64_t n : shape) stream.rows *= n;
  stream.cols = shape.size() < 2 && stream.order ? 1 : shape.back();
  stream.rows /= std::max<std::int64_t>(1, stream.cols);
}

}  // namespace longspan
