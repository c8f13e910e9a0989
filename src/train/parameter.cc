#include "train/parameter.h"

#include <algorithm>
#include <cmath>

#include "train/schedule.h"

namespace longspan {

double OptimizerStep(const Kernels& kernels, const TrainOptions& o, std::int64_t step,
                     std::span<Parameter> parameters) {
  double squares = 0;
  for (const Parameter& p : parameters) squares += kernels.SumOfSquares(p.gradient.span());
  const double norm = std::sqrt(squares);
  // A step that is not a number would destroy the model for good.
  if (!std::isfinite(norm))
    Fail(ErrorKind::kBadOption, "the gradient of step {} is not finite; lower learning_rate", step);
  const bool clip = o.max_grad_norm > 0 && norm > o.max_grad_norm;
  const auto t = static_cast<double>(step + 1);
  AdamWStep adamw{static_cast<float>(LearningRate(o, step)),
                  static_cast<float>(o.beta1),
                  static_cast<float>(o.beta2),
                  static_cast<float>(o.epsilon),
                  0,
                  static_cast<float>(1 - std::pow(o.beta1, t)),
                  static_cast<float>(1 - std::pow(o.beta2, t))};
  for (Parameter& p : parameters) {
    if (clip) kernels.Scale(static_cast<float>(o.max_grad_norm / norm), p.gradient.span());
    adamw.weight_decay = p.IsMatrix() ? static_cast<float>(o.weight_decay) : 0.0f;
    kernels.AdamW(adamw, p.gradient.span(), p.m.span(), p.v.span(), p.value.mutable_floats());
    std::ranges::fill(p.gradient.span(), 0.0f);
  }
  return norm;
}

}  // namespace longspan
