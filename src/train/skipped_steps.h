// Steps that are left out because they would harm the model.
#pragma once

#include <cstdint>
#include <string>

#include "train/train_log.h"

namespace longspan {

// Steps whose gradients tell what is usual, and how few of them do not.
inline constexpr std::int64_t kUsualSteps = 64, kFewSteps = 16;

// Why the step `next`, which follows those of `log`, is to be left out; empty: it is made. One whose loss or
// gradient is no number always is. One whose gradient's norm is more than `spike_factor` times the median of
// the last kUsualSteps that were made is, too, if there are kFewSteps of them; 0: none is.
std::string ReasonToSkip(const TrainLog& log, const TrainLogPoint& next, double spike_factor);

}  // namespace longspan
