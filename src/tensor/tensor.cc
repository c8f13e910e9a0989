#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "tensor/codec.h"
#include "tensor/float16.h"

namespace longspan {

std::int64_t TensorBytes(Type type, std::span<const std::int64_t> shape) {
  if (shape.empty()) return 0;
  std::int64_t bytes = RowBytes(type, shape.back());
  for (const std::int64_t n : shape.first(shape.size() - 1)) {
    if (n < 0) Fail(ErrorKind::kInvalidFile, "negative dimension {}", n);
    bytes = CheckedMul(bytes, n, "tensor size");
  }
  return bytes;
}

Tensor::Tensor(Type type, std::vector<std::int64_t> shape, std::span<const std::byte> bytes,
               std::shared_ptr<const void> owner)
    : type_(type), shape_(std::move(shape)), bytes_(bytes), owner_(std::move(owner)) {
  const std::int64_t expected = TensorBytes(type_, shape_);
  if (!std::cmp_equal(expected, bytes_.size())) {
    Fail(ErrorKind::kInvalidFile, "a tensor has {} bytes, its type and shape say {}", bytes_.size(),
         expected);
  }
}

Tensor Tensor::Allocate(Type type, std::vector<std::int64_t> shape) {
  const auto size = static_cast<std::size_t>(TensorBytes(type, shape));
  auto memory = std::make_shared<AlignedVector<std::byte>>(size);
  const std::span<std::byte> bytes(*memory);
  Tensor tensor(type, std::move(shape), bytes, std::move(memory));
  tensor.own_ = bytes.data();
  return tensor;
}

Tensor Tensor::FromRows(ConstRows rows) {
  Tensor tensor = Allocate(Type::kF32, {rows.rows, rows.cols});
  float* out = tensor.mutable_floats().data();
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    std::memcpy(out + i * rows.cols, rows[i].data(), static_cast<std::size_t>(rows.cols) * sizeof(float));
  }
  return tensor;
}

std::int64_t Tensor::rows() const {
  if (shape_.empty()) return 0;
  std::int64_t n = 1;
  for (std::size_t i = 0; i + 1 < shape_.size(); ++i) n *= shape_[i];
  return n;
}

std::span<std::byte> Tensor::mutable_bytes() {
  if (own_ == nullptr && !empty())
    Fail(ErrorKind::kInternal, "write to a tensor that does not own its memory");
  return {own_, bytes_.size()};
}

std::span<const float> Tensor::floats() const {
  if (type_ != Type::kF32) Fail(ErrorKind::kInternal, "{} tensor read as F32", Traits(type_).name);
  return {reinterpret_cast<const float*>(bytes_.data()), bytes_.size() / sizeof(float)};
}

std::span<float> Tensor::mutable_floats() {
  const std::size_t count = floats().size();  // fails unless the type is F32
  return {reinterpret_cast<float*>(mutable_bytes().data()), count};
}

ConstRows Tensor::AsRows() const { return {floats().data(), rows(), cols()}; }

Tensor Tensor::ToF32() const {
  Tensor out = Allocate(Type::kF32, shape_);
  float* to = out.mutable_floats().data();
  for (std::int64_t i = 0; i < rows(); ++i) DecodeRow(type_, row(i).data(), to + i * cols(), cols());
  return out;
}

Tensor Tensor::ToFloat(Type type) const {
  if (!IsFloat(type)) Fail(ErrorKind::kBadOption, "type {}: expected F32, F16 or BF16", Traits(type).name);
  const Tensor values = ToF32();
  if (type == Type::kF32) return values;
  Tensor out = Allocate(type, shape_);
  auto* to = reinterpret_cast<std::uint16_t*>(out.mutable_bytes().data());
  std::ranges::transform(values.floats(), to, type == Type::kF16 ? F32ToF16 : F32ToBF16);
  return out;
}

Tensor Transposed(const Tensor& matrix) {
  const ConstRows from = matrix.AsRows();
  Tensor out = Tensor::Allocate(Type::kF32, {from.cols, from.rows});
  float* to = out.mutable_floats().data();
  for (std::int64_t i = 0; i < from.rows; ++i) {
    for (std::int64_t j = 0; j < from.cols; ++j) to[j * from.rows + i] = from[i][j];
  }
  return out;
}

bool IsFloat(Type type) { return type == Type::kF32 || type == Type::kF16 || type == Type::kBF16; }

}  // namespace longspan
