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
  // Smaller ones keep their moments in F32, whatever is asked for, as bitsandbytes does.
  static constexpr std::int64_t kLeastInBytes = 4096;

  std::string name;  // "layers.3.q", "layers.3.q.a"
  Tensor value;      // F32, in memory of its own that the network looks at
  Matrix gradient;   // [rows, cols]
  // AdamW's moments: either these two, or the four below (kernels/byte_moments.h).
  Matrix m, v;
  std::vector<std::uint8_t> byte_m, byte_v;
  std::vector<float> m_scales, v_scales;
  double rate_factor = 1;  // of the learning rate

  // `in_bytes`: keep the moments in bytes.
  Parameter(std::string name_in, Tensor value_in, bool in_bytes = false);

  bool IsMatrix() const { return value.shape().size() > 1; }
  bool InBytes() const { return !byte_m.empty(); }
};

// The common norm of all gradients.
double GradientNorm(const Kernels& kernels, std::span<const Parameter> parameters);

// Clips gradients of the common norm `norm` to options.max_grad_norm, makes AdamW's step number `update`
// (0-based) with the rate `learning_rate`, and sets the gradients to zero. `norm` must be finite, because a
// step that is no number would destroy the model for good.
void OptimizerStep(const Kernels& kernels, const TrainOptions& options, double learning_rate,
                   std::int64_t update, double norm, std::span<Parameter> parameters);

}  // namespace longspan
