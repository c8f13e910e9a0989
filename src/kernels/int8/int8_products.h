// Products of quantised weights with activations rounded to 8 bits: integer dot products on the weights'
// codes. That is a processor's fastest arithmetic (VNNI, or maddubs before it), and no weight is widened to
// float.
//
//   y[i][o] = sum over groups g of  scale_x[i][g] * (scale_w[o][g] * dot[i][o][g] - minimum_w[o][g] *
//   sum_x[i][g])
//
// `dot` is an exact integer, and the sum over groups runs in one order, whichever the instruction set, the
// number of rows or of threads: a row's result is the same bits in a batch and alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "kernels/int8/rounded_rows.h"
#include "kernels/kernels.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

// One instruction set's implementation.
struct Int8Products {
  // Whether weights of this type can be multiplied this way.
  bool (*supports)(Type type);
  // x [n, in], a multiple of 32 columns, rounded.
  void (*round)(ConstRows x, RoundedRows& rounded);
  // Kernels::MatMuls, for weights of types that are supported and x of at least one row.
  void (*mat_muls)(const RoundedRows& x, std::span<const Product> products);
  // Kernels::PackedBytes and Pack, for types that are supported.
  std::int64_t (*packed_bytes)(const Tensor& weight);
  Packing (*pack)(const Tensor& weight, std::span<std::byte> to, std::shared_ptr<const void> owner);
};

// For "avx512" (which needs VNNI here) or "avx2". Falls back to the next best that the machine has, and to
// null if it has none.
const Int8Products* Int8ProductsFor(std::string_view isa);

}  // namespace longspan
