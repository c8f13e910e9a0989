#include "eval/likelihood.h"

#include <algorithm>
#include <cmath>

namespace longspan {

double LogSumExp(std::span<const float> logits) {
  const double highest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return highest + std::log(sum);
}

double NegativeLogLikelihood(std::span<const float> logits, std::int32_t target) {
  return LogSumExp(logits) - logits[static_cast<std::size_t>(target)];
}

double KlDivergence(std::span<const float> p, std::span<const float> q) {
  const double p_total = LogSumExp(p), q_total = LogSumExp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - p_total;
    const double probability = std::exp(log_p);
    if (probability > 0) sum += probability * (log_p - (q[i] - q_total));
  }
  return std::max(0.0, sum);  // rounding can fall below
}

}  // namespace longspan
