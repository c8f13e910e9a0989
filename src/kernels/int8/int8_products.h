// Products of quantised weights with activations rounded to 8 bits: integer dot products on the packed
// blocks. That is a processor's fastest arithmetic (VNNI, or maddubs before it), and no weight is widened to
// float.
//
//   y[i][o] = sum over groups g of  scale_x[i][g] * (scale_w[o][g] * dot[i][o][g] - minimum_w[o][g] *
//   sum_x[i][g])
//
// `dot` is an exact integer, and the sum over groups runs in one order, whichever the instruction set, the
// number of rows or of threads: a row's result is the same bits in a batch and alone.
#pragma once

#include <string_view>

#include "kernels/int8/rounded_rows.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

// One instruction set's implementation.
struct Int8Products {
  // Whether weights of this type can be multiplied this way.
  bool (*supports)(Type type);
  // x [n, in], a multiple of 32 columns, rounded.
  void (*round)(ConstRows x, RoundedRows& rounded);
  // y [n, out] = (or, with `add`, +=) x [n, in] W^T for W {out, in} of a type that is supported.
  void (*mat_mul)(const RoundedRows& x, const Tensor& weight, Rows y, bool add);
};

// For "avx512" (which needs VNNI here) or "avx2". Falls back to the next best that the machine has, and to
// null if it has none.
const Int8Products* Int8ProductsFor(std::string_view isa);

}  // namespace longspan
