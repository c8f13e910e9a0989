#include "encode/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/memory.h"
#include "encode/block_encode.h"
#include "encode/float_rows.h"
#include "tensor/float16.h"

namespace longspan {
namespace {

void EncodeF32(const float* from, std::byte* to, std::int64_t elements, const float*) {
  std::memcpy(to, from, static_cast<std::size_t>(elements) * sizeof(float));
}

void EncodeF16(const float* from, std::byte* to, std::int64_t elements, const float*) {
  constexpr float kLargest = 65504.0f;
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::uint16_t bits = F32ToF16(std::clamp(from[i], -kLargest, kLargest));
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

void EncodeBF16(const float* from, std::byte* to, std::int64_t elements, const float*) {
  constexpr float kLargest = 0x1.fep127f;
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::uint16_t bits = F32ToBF16(std::clamp(from[i], -kLargest, kLargest));
    std::memcpy(to + 2 * i, &bits, sizeof(bits));
  }
}

Encoder FindEncoder(Type type) {
  switch (type) {
    case Type::kF32: return EncodeF32;
    case Type::kF16: return EncodeF16;
    case Type::kBF16: return EncodeBF16;
    default: break;
  }
  for (const auto find : {FindLegacyEncoder, FindKEncoder, FindLevelEncoder, FindMxfp4Encoder,
                          FindTernaryEncoder, FindIqEncoder}) {
    if (const Encoder encode = find(type)) return encode;
  }
  return nullptr;
}

Encoder EncoderOf(Type type) {
  const Encoder encode = FindEncoder(type);
  if (encode == nullptr) Fail(ErrorKind::kUnsupported, "encoding of {} is not supported", Traits(type).name);
  return encode;
}

// The importances, or nullptr if all are 0, because then they say nothing.
const float* IfAny(const float* importance, std::int64_t cols) {
  const bool any =
      importance != nullptr && std::any_of(importance, importance + cols, [](float x) { return x != 0; });
  return any ? importance : nullptr;
}

std::int64_t FirstNotFinite(const float* x, std::int64_t elements) {
  return std::find_if_not(x, x + elements, [](float value) { return std::isfinite(value); }) - x;
}

}  // namespace

bool CanEncode(Type type) { return FindEncoder(type) != nullptr; }

void EncodeRow(Type type, const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  const Encoder encode = EncoderOf(type);
  RowBytes(type, elements);  // throws unless the row is a whole number of blocks
  if (!AllFinite(from, elements)) {
    const std::int64_t i = FirstNotFinite(from, elements);
    Fail(ErrorKind::kInvalidFile, "column {} is {}, expected a finite number", i, from[i]);
  }
  encode(from, to, elements, IfAny(importance, elements));
}

void EncodeRows(Type type, const float* from, std::byte* to, std::int64_t rows, std::int64_t cols,
                const float* importance, std::int64_t first_row) {
  constexpr std::int64_t kGroupValues = 512;  // values that encoders take at once
  const Encoder encode = EncoderOf(type);
  const std::int64_t row_bytes = RowBytes(type, cols);
  if (!AllFinite(from, rows * cols)) {
    const std::int64_t i = FirstNotFinite(from, rows * cols);
    Fail(ErrorKind::kInvalidFile, "row {}, column {} is {}, expected a finite number", first_row + i / cols,
         i % cols, from[i]);
  }
  importance = IfAny(importance, cols);
  if (importance == nullptr) return encode(from, to, rows * cols, nullptr);
  // Encodes as many rows at once as fill whole groups. The importances are repeated for each row.
  const std::int64_t together = cols == 0 ? 1 : kGroupValues / std::gcd(kGroupValues, cols);
  AlignedVector<float> repeated;
  if (together > 1) {
    repeated.resize(together * cols);
    for (std::int64_t row = 0; row < together; ++row)
      std::copy_n(importance, cols, repeated.data() + row * cols);
    importance = repeated.data();
  }
  for (std::int64_t row = 0; row < rows; row += together) {
    encode(from + row * cols, to + row * row_bytes, std::min(together, rows - row) * cols, importance);
  }
}

}  // namespace longspan
