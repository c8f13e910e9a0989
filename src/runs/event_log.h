// A training run as TensorBoard shows it, under the tags of Hugging Face's Trainer, so that dashboards line
// up (transformers/integrations, rewrite_logs).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/progress.h"
#include "runs/event_file.h"
#include "train/trainer.h"

namespace longspan {

// Follows a run. Its file begins with the first step that is made, so that a run that is done already, or
// fails at once, leaves none. What cannot be written, on a full disk for example, is reported once and left
// out: no run ends for it.
class EventLog : public TrainListener {
 public:
  // `settings` is shown as text. `steps_per_epoch` tells epochs from steps.
  EventLog(std::filesystem::path folder, std::string settings, double steps_per_epoch, Progress& progress);

  void Begin(const TrainState& state) override;
  void Step(const TrainLogPoint& point) override;
  void End(const TrainState& state) override;

  // The scalars of a step, as they are written.
  static std::vector<Scalar> ScalarsOf(const TrainLogPoint& point, double steps_per_epoch);

 private:
  void Write(const std::function<void(EventFile& file)>& write);

  std::filesystem::path folder_;
  std::string settings_;
  double steps_per_epoch_;
  Progress& progress_;
  std::int64_t first_ = 0;  // steps done before this process
  double seconds_ = 0;      // of training before this process
  std::optional<EventFile> file_;
  bool failed_ = false;
};

}  // namespace longspan
