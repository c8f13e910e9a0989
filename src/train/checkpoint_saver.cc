#include "train/checkpoint_saver.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
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

// checkpoint-STEP.gguf in a folder by their steps, the latest first.
std::map<std::int64_t, fs::path, std::greater<>> KeptCheckpoints(const fs::path& folder) {
  std::map<std::int64_t, fs::path, std::greater<>> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kBefore = "checkpoint-", kAfter = ".gguf";
    if (!name.starts_with(kBefore) || !name.ends_with(kAfter)) continue;
    const std::string_view digits =
        std::string_view(name).substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size());
    std::int64_t step = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
    if (failure == std::errc() && end == digits.data() + digits.size()) files.emplace(step, entry.path());
  }
  return files;
}

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
    TrainState state = LoadFrom(checkpoint_, parameters);
    whole_ = true;
    return state;
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kBadOption || e.kind() == ErrorKind::kCancelled) throw;
    if (auto state = LoadEarlier(e.what(), parameters)) return state;
    Fail(e.kind(), "{}; put back a copy of the checkpoint, or remove it to begin anew", e.what());
  }
}

TrainState CheckpointSaver::LoadFrom(const fs::path& file, std::span<Parameter> parameters) {
  TrainState state = LoadCheckpoint(file, identity_, parameters);
  if (state.step > options_.steps) {
    Fail(ErrorKind::kInvalidFile, "{}: the checkpoint is at step {}, expected at most {}", file.string(),
         state.step, options_.steps);
  }
  saved_ = MarkOf(state);
  return state;
}

// Of the checkpoints that were kept, the latest that can be read. `why` the latest of all cannot.
std::optional<TrainState> CheckpointSaver::LoadEarlier(const std::string& why,
                                                       std::span<Parameter> parameters) {
  for (const auto& [step, file] : KeptCheckpoints(folder_)) {
    try {
      TrainState state = LoadFrom(file, parameters);
      progress_.Message(fmt::format("{}; going on from {}", why, file.filename().string()));
      return state;
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kCancelled) throw;
    }
  }
  return std::nullopt;
}

// A second name for the latest checkpoint, before another takes its place.
void CheckpointSaver::KeepLatest(std::int64_t next_step) {
  if (options_.checkpoints_kept < 2 || !whole_ || saved_.step == next_step) return;
  const fs::path kept = folder_ / fmt::format("checkpoint-{}.gguf", saved_.step);
  std::error_code error;
  if (fs::exists(kept, error)) return;
  fs::create_hard_link(checkpoint_, kept, error);
  if (!error || told_) return;
  told_ = true;
  progress_.Message(fmt::format(
      "{}: earlier checkpoints are not kept, because this file system has no hard links", folder_.string()));
}

// Leaves `most` of the earlier checkpoints. Files of other runs stay, whatever they are called.
void CheckpointSaver::RemoveEarlier(std::int64_t most) {
  std::int64_t kept = 0;
  for (const auto& [step, file] : KeptCheckpoints(folder_)) {
    if (!IsCheckpointOf(file, identity_) || ++kept <= most) continue;
    std::error_code error;
    fs::remove(file, error);
  }
}

// A disk that is nearly full has room for the next checkpoint rather than for the earlier ones.
void CheckpointSaver::MakeRoom() {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(checkpoint_, error);
  for (std::int64_t most = options_.checkpoints_kept - 2; !error && most >= 0; --most) {
    try {
      return CheckFreeSpace(checkpoint_, size);
    } catch (const Error&) {
      RemoveEarlier(most);
    }
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
  if (!enabled() || (MarkOf(state) == saved_ && (whole_ || state.step == 0))) return true;
  try {
    KeepLatest(state.step);
    MakeRoom();
    SaveCheckpoint(checkpoint_, state, identity_, parameters);
    whole_ = true;
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
  RemoveEarlier(options_.checkpoints_kept - 1);
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
