#include "kernels/kv_layout.h"

#include <bit>
#include <cmath>

#include "base/error.h"

namespace longspan {

bool KvLayout::Holds() const {
  switch (type) {
    case Type::kF32:
    case Type::kF16:
    case Type::kBF16: return true;
    case Type::kQ8_0:
    case Type::kQ4_0:
      return head_dim % Traits(type).block_elements == 0 &&
             std::has_single_bit(static_cast<std::uint64_t>(head_dim));
    default: return false;
  }
}

std::int64_t KvLayout::RowBytes() const {
  if (Holds()) return longspan::RowBytes(type, head_dim);
  if (rotated()) {
    Fail(ErrorKind::kUnsupported,
         "a KV cache of {} needs heads of 32, 64, 128, ... dimensions, and this model's have {}: use F16 or "
         "BF16",
         Traits(type).name, head_dim);
  }
  Fail(ErrorKind::kUnsupported, "a KV cache of {}: it can be F32, F16, BF16, Q8_0 or Q4_0",
       Traits(type).name);
}

void HadamardTransform(std::span<float> x) {
  const std::size_t n = x.size();
  for (std::size_t step = 1; step < n; step *= 2) {
    for (std::size_t first = 0; first < n; first += 2 * step) {
      for (std::size_t i = first; i < first + step; ++i) {
        const float a = x[i], b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
    }
  }
  const float norm = 1.0f / std::sqrt(static_cast<float>(n));
  for (float& value : x) value *= norm;
}

}  // namespace longspan
