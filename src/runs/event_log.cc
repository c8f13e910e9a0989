#include "runs/event_log.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>
#include <vector>

namespace longspan {
namespace {

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

EventLog::EventLog(std::filesystem::path folder, std::string settings, double steps_per_epoch,
                   Progress& progress)
    : folder_(std::move(folder)),
      settings_(std::move(settings)),
      steps_per_epoch_(steps_per_epoch),
      progress_(progress) {}

std::vector<Scalar> EventLog::ScalarsOf(const TrainLogPoint& point, double steps_per_epoch) {
  std::vector<Scalar> scalars{{"train/loss", point.loss},
                              {"train/grad_norm", point.grad_norm},
                              {"train/learning_rate", point.learning_rate},
                              {"train/num_input_tokens_seen", static_cast<double>(point.tokens)}};
  if (steps_per_epoch > 0)
    scalars.push_back({"train/epoch", static_cast<double>(point.step) / steps_per_epoch});
  if (point.validation_loss) scalars.push_back({"eval/loss", *point.validation_loss});
  return scalars;
}

void EventLog::Begin(const TrainState& state) {
  first_ = state.step;
  seconds_ = state.seconds;
}

void EventLog::Step(const TrainLogPoint& point) {
  Write(
      [&](EventFile& file) { file.AddScalars(point.step, WallTime(), ScalarsOf(point, steps_per_epoch_)); });
}

void EventLog::End(const TrainState& state) {
  if (!file_) return;  // no step was made
  const double seconds = state.seconds - seconds_;
  double loss = 0;
  std::int64_t counted = 0;
  for (const TrainLogPoint& p : state.log.points) {
    if (p.skipped) continue;
    loss += p.loss;
    ++counted;
  }
  std::vector<Scalar> scalars{{"train/train_runtime", seconds}};
  if (seconds > 0)
    scalars.push_back({"train/train_steps_per_second", static_cast<double>(state.step - first_) / seconds});
  if (counted > 0) scalars.push_back({"train/train_loss", loss / static_cast<double>(counted)});
  Write([&](EventFile& file) { file.AddScalars(state.step, WallTime(), scalars); });
}

void EventLog::Write(const std::function<void(EventFile& file)>& write) {
  if (failed_) return;
  try {
    if (!file_) {
      file_.emplace(folder_, WallTime());
      file_->AddStart(first_ + 1, WallTime());
      // Markdown: four spaces make the text stand as it is.
      std::string text = "    ";
      for (const char c : settings_) text += c == '\n' ? std::string("\n    ") : std::string(1, c);
      file_->AddText(first_, WallTime(), "args", text);
    }
    write(*file_);
  } catch (const Error& error) {
    failed_ = true;
    progress_.Message(fmt::format("TensorBoard will not see the rest of this run: {}", error.what()));
  }
}

}  // namespace longspan
