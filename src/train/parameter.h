// What training changes: a tensor with its gradient and AdamW's two moments.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/tensor.h"
#include "train/options.h"

namespace longspan {

struct Parameter {
  std::string name;  // "layers.3.q", "layers.3.q.a"
  Tensor value;      // F32, in memory of its own that the network looks at
  Matrix gradient;   // [rows, cols]
  Matrix m, v;

  Parameter(std::string name_in, Tensor value_in)
      : name(std::move(name_in)),
        value(std::move(value_in)),
        gradient(value.rows(), value.cols()),
        m(value.rows(), value.cols()),
        v(value.rows(), value.cols()) {}

  bool IsMatrix() const { return value.shape().size() > 1; }
};

// Clips the common norm of all gradients, makes AdamW step number `step` (0-based) and sets the gradients to
// zero. Returns the norm before clipping.
double OptimizerStep(const Kernels& kernels, const TrainOptions& options, std::int64_t step,
                     std::span<Parameter> parameters);

}  // namespace longspan
