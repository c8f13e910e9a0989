#include "formats/rope_order.h"

#include <cstring>

#include "base/error.h"

namespace longspan {

void PermuteRows(std::span<const std::byte> from, std::span<std::byte> out, std::size_t row_bytes,
                 std::int64_t head_dim, RopeOrder to) {
  const auto rows = static_cast<std::int64_t>(row_bytes == 0 ? 0 : from.size() / row_bytes);
  if (head_dim < 2 || head_dim % 2 != 0 || rows % head_dim != 0) {
    Fail(ErrorKind::kInvalidFile, "{} rows are not a whole number of heads of {}", rows, head_dim);
  }
  if (from.size() != static_cast<std::size_t>(rows) * row_bytes || out.size() != from.size()) {
    Fail(ErrorKind::kInternal, "{} bytes of rows permuted into {}", from.size(), out.size());
  }
  const std::int64_t half = head_dim / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t head = row / head_dim * head_dim;
    const std::int64_t split = row % head_dim;  // as the half-split order counts
    const std::int64_t interleaved = head + 2 * (split % half) + split / half;
    const auto source = static_cast<std::size_t>(to == RopeOrder::kInterleaved ? row : interleaved);
    const auto target = static_cast<std::size_t>(to == RopeOrder::kInterleaved ? interleaved : row);
    std::memcpy(out.data() + target * row_bytes, from.data() + source * row_bytes, row_bytes);
  }
}

Tensor PermuteRows(const Tensor& tensor, std::int64_t head_dim, RopeOrder to) {
  Tensor out = Tensor::Allocate(tensor.type(), tensor.shape());
  PermuteRows(tensor.bytes(), out.mutable_bytes(), static_cast<std::size_t>(tensor.row_bytes()), head_dim,
              to);
  return out;
}

}  // namespace longspan
