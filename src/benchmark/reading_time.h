// How long reading a text with a model takes on this machine, at any length, from a measurement of a few
// seconds.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weights.h"

namespace longspan {

// Seconds, for text that is read in chunks of Session::kChunk with an F32 cache, as in evaluation.
struct ReadingTime {
  double token = 0;   // of one token with nothing before it
  double key = 0;     // more of it for each token before
  double logits = 0;  // of one row of logits
  double write = 0;   // of a token that is written, with nothing before it

  // `tokens` tokens after `depth` others.
  double Read(double tokens, double depth = 0) const {
    return tokens * token + key * (tokens * depth + tokens * tokens / 2);
  }
};

// Runs some of the model's layers on random tokens, all of those in `weights` where that is quick. `longest`
// is the greatest length that the result is used for. Error(kCancelled).
ReadingTime MeasureReadingTime(const LlamaConfig& config, const Weights& weights, std::int64_t longest,
                               const Kernels& kernels, double budget = 4);

}  // namespace longspan
