// A tensor: typed, shaped bytes that somebody keeps alive (a mapped file, or memory of its own).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tensor/rows.h"
#include "tensor/type.h"

namespace longspan {

// A matrix's numbers once more, in the order in which a processor multiplies them: `lanes` rows side by side.
// Kernels make it and read it (Kernels::Pack).
struct Packing {
  std::int64_t lanes = 0;
  std::span<const std::byte> bytes = {};
  std::shared_ptr<const void> owner = nullptr;
};

class Tensor {
 public:
  Tensor() = default;

  // A view of `bytes`, which `owner` keeps alive. Error(kInvalidFile) unless the size is what type and shape
  // say. The shape is outermost first, so a Linear's weight is {out, in} and its rows are contiguous.
  Tensor(Type type, std::vector<std::int64_t> shape, std::span<const std::byte> bytes,
         std::shared_ptr<const void> owner);

  // New memory of its own, zeroed.
  static Tensor Allocate(Type type, std::vector<std::int64_t> shape);
  // A new F32 tensor with a matrix's contents.
  static Tensor FromRows(ConstRows rows);

  bool empty() const { return bytes_.empty(); }
  Type type() const { return type_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t rows() const;  // product of all dimensions but the last
  std::int64_t cols() const { return shape_.empty() ? 0 : shape_.back(); }
  std::int64_t elements() const { return rows() * cols(); }
  std::int64_t row_bytes() const { return RowBytes(type_, cols()); }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<const std::byte> row(std::int64_t i) const {
    return bytes_.subspan(i * row_bytes(), static_cast<std::size_t>(row_bytes()));
  }

  // No lanes where nobody has set one.
  const Packing& packing() const { return packing_; }
  void SetPacking(Packing packing) { packing_ = std::move(packing); }

  // The bytes of a tensor made by Allocate, to write to; nobody else writes them.
  std::span<std::byte> mutable_bytes();

  // F32 tensors as floats. Error(kInternal) for other types.
  std::span<const float> floats() const;
  std::span<float> mutable_floats();
  ConstRows AsRows() const;

  // A copy decoded to F32.
  Tensor ToF32() const;
  // A copy decoded and rounded once to F32, F16 or BF16. Error(kBadOption) for other types.
  Tensor ToFloat(Type type) const;

 private:
  Type type_ = Type::kF32;
  std::vector<std::int64_t> shape_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  std::byte* own_ = nullptr;  // the same bytes where Allocate made them
  Packing packing_;
};

// A matrix of F32 with rows and columns exchanged. Error(kInternal) for another type.
Tensor Transposed(const Tensor& matrix);

// F32, F16 and BF16.
bool IsFloat(Type type);

// Bytes of a tensor, with every product checked. Error(kInvalidFile).
std::int64_t TensorBytes(Type type, std::span<const std::int64_t> shape);

}  // namespace longspan
