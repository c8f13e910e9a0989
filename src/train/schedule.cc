#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace longspan {

double LearningRate(const TrainOptions& o, std::int64_t step) {
  if (step < o.warmup) return o.learning_rate * static_cast<double>(step + 1) / static_cast<double>(o.warmup);
  if (o.schedule == ScheduleKind::kConstant) return o.learning_rate;
  const auto span = static_cast<double>(std::max<std::int64_t>(1, o.steps - o.warmup - 1));
  const double done = std::min(1.0, static_cast<double>(step - o.warmup) / span);
  const double low = o.learning_rate * o.min_learning_rate_ratio;
  return low + (o.learning_rate - low) * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

}  // namespace longspan
