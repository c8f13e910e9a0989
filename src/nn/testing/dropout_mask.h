// The mask that an adapter's dropout draws, found from its effect.
#pragma once

#include <cstdint>

#include "nn/linear.h"
#include "nn/testing/double_matrix.h"

namespace longspan::oracle {

// [rows, in]: 0 where an element is dropped, 1 / (1 - p) where it is kept. Found by sending ones through a
// layer whose weight is zero and whose adapter is the identity except for its dropout.
inline DoubleMatrix DropoutMask(const Kernels& kernels, const Adapter& adapter, const DropoutStep& step,
                                std::int64_t rows) {
  const std::int64_t in = adapter.a.cols();
  Matrix identity(in, in), ones(rows, in), mask(rows, in);
  for (std::int64_t i = 0; i < in; ++i) identity[i][i] = 1;
  for (float& x : ones.span()) x = 1;
  const Tensor one = Tensor::FromRows(identity);
  const Adapter probe{one, one, 1.0f, adapter.dropout, adapter.stream};
  LinearForward(kernels, {Tensor::Allocate(Type::kF32, {in, in}), &probe}, step, ones, mask, Store::kSet);
  return Widen(mask);
}

}  // namespace longspan::oracle
