#include "train/checkpoint_saver.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr double kRetrySeconds = 60;
// At the end a save is tried this often, because the result is only in memory.
constexpr int kFinalTries = 30;
constexpr double kFinalRetrySeconds = 10;

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void SleepUnlessCancelled(double seconds) {
  const double end = SteadySeconds() + seconds;
  while (!CancelRequested() && SteadySeconds() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

TrainClock::TrainClock() : now(SteadySeconds) {}

CheckpointSaver::CheckpointSaver(fs::path folder, RunIdentity identity, const TrainOptions& options,
                                 const TrainClock& clock, Progress& progress)
    : folder_(std::move(folder)),
      checkpoint_(folder_ / kCheckpointFile),
      identity_(std::move(identity)),
      options_(options),
      clock_(clock),
      progress_(progress),
      saved_at_(clock.now()),
      tried_at_(saved_at_) {
  // Better to fail now than after hours of training.
  if (enabled()) AtomicFile(folder_ / kLogFile);
}

std::optional<TrainState> CheckpointSaver::Load(std::span<Parameter> parameters) {
  if (!enabled()) return std::nullopt;
  std::error_code error;
  // The status of a link itself, because a broken link is no reason to begin anew.
  const fs::file_type type = fs::symlink_status(checkpoint_, error).type();
  if (type == fs::file_type::not_found) return std::nullopt;
  try {
    TrainState state = LoadCheckpoint(checkpoint_, identity_, parameters);
    if (state.step > options_.steps) {
      Fail(ErrorKind::kInvalidFile, "{}: the checkpoint is at step {}, expected at most {}",
           checkpoint_.string(), state.step, options_.steps);
    }
    saved_ = MarkOf(state);
    return state;
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kBadOption || e.kind() == ErrorKind::kCancelled) throw;
    Fail(e.kind(), "{}; put back a copy of the checkpoint, or remove it to begin anew", e.what());
  }
}

CheckpointSaver::Mark CheckpointSaver::MarkOf(const TrainState& state) {
  return {state.step, !state.log.points.empty() && state.log.points.back().validation_loss.has_value()};
}

bool CheckpointSaver::IsDue(std::int64_t step) const {
  if (step % options_.checkpoint_every == 0) return true;
  if (!failure_.empty()) return clock_.now() - tried_at_ >= kRetrySeconds;
  return options_.checkpoint_minutes > 0 && clock_.now() - saved_at_ >= 60 * options_.checkpoint_minutes;
}

void CheckpointSaver::SaveIfDue(const TrainState& state, std::span<const Parameter> parameters) {
  if (!enabled() || !IsDue(state.step) || Save(state, parameters)) return;
  progress_.Message(fmt::format(
      "step {} is not saved: {}; training goes on, saving is tried again in a minute", state.step, failure_));
}

bool CheckpointSaver::Save(const TrainState& state, std::span<const Parameter> parameters) {
  if (!enabled() || MarkOf(state) == saved_) return true;
  try {
    SaveCheckpoint(checkpoint_, state, identity_, parameters);
    WriteFile(folder_ / kLogFile, state.log.ToJsonLines());
  } catch (const std::exception& e) {
    failure_ = e.what();
    tried_at_ = clock_.now();
    return false;
  }
  if (!failure_.empty()) progress_.Message(fmt::format("step {} is saved", state.step));
  failure_.clear();
  saved_ = MarkOf(state);
  saved_at_ = clock_.now();
  return true;
}

bool CheckpointSaver::SaveAtEnd(const TrainState& state, std::span<const Parameter> parameters) {
  for (int tries = 1; !Save(state, parameters); ++tries) {
    if (tries == kFinalTries || CancelRequested()) return false;
    progress_.Message(fmt::format(
        "the result is not saved: {}; make room for it, saving is tried again every {:.0f} seconds", failure_,
        kFinalRetrySeconds));
    clock_.sleep(kFinalRetrySeconds);
  }
  return true;
}

}  // namespace longspan
