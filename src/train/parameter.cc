#include "train/parameter.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace longspan {

Parameter::Parameter(std::string name_in, Tensor value_in, bool in_bytes)
    : name(std::move(name_in)), value(std::move(value_in)), gradient(value.rows(), value.cols()) {
  const std::int64_t n = value.elements();
  if (in_bytes && n >= kLeastInBytes) {
    byte_m.resize(n);
    byte_v.resize(n);
    m_scales.resize(MomentBlocks(n));
    v_scales.resize(MomentBlocks(n));
  } else {
    m.Resize(value.rows(), value.cols());
    v.Resize(value.rows(), value.cols());
    std::ranges::fill(m.span(), 0.0f);
    std::ranges::fill(v.span(), 0.0f);
  }
}

double GradientNorm(const Kernels& kernels, std::span<const Parameter> parameters) {
  double squares = 0;
  for (const Parameter& p : parameters) squares += kernels.SumOfSquares(p.gradient.span());
  return std::sqrt(squares);
}

void OptimizerStep(const Kernels& kernels, const TrainOptions& o, double learning_rate, std::int64_t update,
                   double norm, std::span<Parameter> parameters) {
  if (!std::isfinite(norm)) Fail(ErrorKind::kInternal, "update {} has a gradient of norm {}", update, norm);
  const bool clip = o.max_grad_norm > 0 && norm > o.max_grad_norm;
  const auto t = static_cast<double>(update + 1);
  AdamWStep adamw{static_cast<float>(learning_rate),
                  static_cast<float>(o.beta1),
                  static_cast<float>(o.beta2),
                  static_cast<float>(o.epsilon),
                  0,
                  static_cast<float>(1 - std::pow(o.beta1, t)),
                  static_cast<float>(1 - std::pow(o.beta2, t))};
  for (Parameter& p : parameters) {
    if (clip) kernels.Scale(static_cast<float>(o.max_grad_norm / norm), p.gradient.span());
    adamw.learning_rate = static_cast<float>(learning_rate * p.rate_factor);
    adamw.weight_decay = p.IsMatrix() ? static_cast<float>(o.weight_decay) : 0.0f;
    if (p.InBytes()) {
      kernels.AdamWInBytes(adamw, p.gradient.span(), {p.byte_m, p.byte_v, p.m_scales, p.v_scales},
                           p.value.mutable_floats());
    } else {
      kernels.AdamW(adamw, p.gradient.span(), p.m.span(), p.v.span(), p.value.mutable_floats());
    }
    std::ranges::fill(p.gradient.span(), 0.0f);
  }
}

}  // namespace longspan
