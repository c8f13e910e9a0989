// Learning rate by step.
#pragma once

#include <cstdint>

#include "train/options.h"

namespace longspan {

// The rate of step `step` (0-based): linear warmup to options.learning_rate, then constant, or half a cosine
// down to min_learning_rate_ratio of it at the last step (Loshchilov & Hutter 2017, eq. 5).
double LearningRate(const TrainOptions& options, std::int64_t step);

}  // namespace longspan
