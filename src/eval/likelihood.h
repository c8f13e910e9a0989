// What one row of logits says, in double.
#pragma once

#include <cstdint>
#include <span>

namespace longspan {

// log of the sum of exp(logits).
double LogSumExp(std::span<const float> logits);

// -log softmax(logits)[target], nats.
double NegativeLogLikelihood(std::span<const float> logits, std::int32_t target);

// KL(softmax(p) || softmax(q)), nats; at least 0.
double KlDivergence(std::span<const float> p, std::span<const float> q);

}  // namespace longspan
