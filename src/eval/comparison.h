// One token's prediction by a model beside a reference's.
#pragma once

#include <cstdint>
#include <span>

#include "eval/logits_file.h"

namespace longspan {

struct Comparison {
  double divergence = 0;  // KL(reference || model), nats
  double nll = 0, reference_nll = 0;
  bool same_top = false;  // the likeliest token is the same
};

Comparison Compare(std::span<const float> logits, std::span<const float> reference, std::int32_t target);

// The same with a row of a file. As in llama-perplexity, probabilities below e^-16 count as nothing. Rounding
// is not corrected: it is at most a ten-thousandth of a nat, as often up as down. A token's divergence may be
// below 0 by as much.
Comparison Compare(std::span<const float> logits, const LogProbabilities& reference, std::int32_t target);

}  // namespace longspan
