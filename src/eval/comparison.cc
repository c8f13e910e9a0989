#include "eval/comparison.h"

#include <cmath>

#include "eval/likelihood.h"
#include "infer/sampler.h"

namespace longspan {

Comparison Compare(std::span<const float> logits, std::span<const float> reference, std::int32_t target) {
  Comparison c{.divergence = KlDivergence(reference, logits),
               .nll = NegativeLogLikelihood(logits, target),
               .reference_nll = NegativeLogLikelihood(reference, target)};
  // Logits that are not numbers have no highest one. The likelihoods of the comparison show it.
  if (std::isfinite(c.nll) && std::isfinite(c.reference_nll))
    c.same_top = ArgMax(logits) == ArgMax(reference);
  return c;
}

Comparison Compare(std::span<const float> logits, const LogProbabilities& reference, std::int32_t target) {
  constexpr float kLeast = -16;
  const double total = LogSumExp(logits);
  const auto at = static_cast<std::size_t>(target);
  Comparison c{.nll = total - logits[at], .reference_nll = -reference[at]};
  std::size_t top = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (reference.values[i] > reference.values[top]) top = i;
    const float log_p = reference[i];
    if (log_p > kLeast || std::isnan(log_p))
      c.divergence += std::exp(static_cast<double>(log_p)) * (log_p - (logits[i] - total));
  }
  if (std::isfinite(c.nll)) c.same_top = ArgMax(logits) == static_cast<std::int32_t>(top);
  return c;
}

}  // namespace longspan
