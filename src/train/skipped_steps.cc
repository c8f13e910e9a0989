#include "train/skipped_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace longspan {

std::string ReasonToSkip(const TrainLog& log, const TrainLogPoint& next, double spike_factor) {
  if (!std::isfinite(next.loss)) return "its loss is no number";
  if (!std::isfinite(next.grad_norm)) return "its gradient is no number";
  if (spike_factor <= 0) return "";
  std::vector<double> usual;
  for (auto p = log.points.rbegin(); p != log.points.rend() && std::ssize(usual) < kUsualSteps; ++p) {
    if (!p->skipped) usual.push_back(p->grad_norm);
  }
  if (std::ssize(usual) < kFewSteps) return "";
  const auto middle = usual.begin() + std::ssize(usual) / 2;
  std::ranges::nth_element(usual, middle);
  if (next.grad_norm <= spike_factor * *middle) return "";
  return fmt::format("its gradient's norm, {:.3g}, is over {:g} times the usual {:.3g}", next.grad_norm,
                     spike_factor, *middle);
}

}  // namespace longspan
