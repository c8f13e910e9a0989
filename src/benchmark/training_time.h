// How long training takes on this machine, from a measurement of a few seconds.
#pragma once

#include <cstdint>

#include "base/progress.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weights.h"
#include "train/options.h"

namespace longspan {

struct TrainingTime {
  double pass = 0;            // forward and back of one batch, seconds
  double forward = 0;         // the validation loss of one batch
  double optimizer = 0;       // one step of AdamW
  bool extrapolated = false;  // from a part of a layer, where a whole batch takes longer than the budget

  double Step(const TrainOptions& options) const {
    return static_cast<double>(options.gradient_accumulation) * pass + optimizer;
  }
};

// Runs the network on random tokens: a whole batch of options.batch_size examples of `length` tokens where
// that takes less than `budget` seconds, else a part of one layer, a part of the LM head, and attention at
// `length` by itself. Products grow with the rows, attention with the square of the length.
// `weights` may be those of a mapped file. Needs the memory of the part that is run. Error(kCancelled).
TrainingTime MeasureTrainingTime(const LlamaConfig& config, const Weights& weights,
                                 const TrainOptions& options, std::int64_t length, const Kernels& kernels,
                                 double budget = 4);

}  // namespace longspan
