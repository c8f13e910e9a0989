// The record of a training run: one point a step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

struct TrainLogPoint {
  std::int64_t step = 0;    // steps done
  std::int64_t tokens = 0;  // tokens seen
  double loss = 0;          // mean over the step's scored tokens, nats; NaN or infinite only where skipped
  double learning_rate = 0;
  double grad_norm = 0;  // before clipping; as the loss
  double seconds = 0;    // of training so far
  std::optional<double> validation_loss;
  bool skipped = false;  // the step changed no parameter
};

struct TrainLog {
  std::vector<TrainLogPoint> points;

  std::int64_t Skipped() const;        // steps that were left out
  std::int64_t SkippedInARow() const;  // the last ones

  // A number that is not finite is null, and read as NaN.
  std::string ToJsonLines() const;
  // Error(kInvalidFile) naming `where`.
  static TrainLog FromJsonLines(std::string_view text, const std::filesystem::path& where);
};

}  // namespace longspan
