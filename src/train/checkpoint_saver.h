// When a run is saved, and what happens where that fails.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/options.h"

namespace longspan {

inline constexpr const char* kCheckpointFile = "checkpoint.gguf";
inline constexpr const char* kLogFile = "log.jsonl";

void SleepUnlessCancelled(double seconds);

// The clock of a run, in seconds. Tests supply their own.
struct TrainClock {
  std::function<double()> now;
  std::function<void(double seconds)> sleep = SleepUnlessCancelled;

  TrainClock();  // the system's
};

// Keeps checkpoint.gguf and log.jsonl in a folder; does nothing where the folder's name is empty. The
// checkpoints before it are there as checkpoint-STEP.gguf, checkpoints_kept with the latest. Where that is
// damaged, the run goes on from the next that is whole.
//
// A checkpoint is due every checkpoint_every steps, at the last step, and when checkpoint_minutes have passed
// since the last one. A save that fails is reported and tried again a minute later, or when the next one is
// due; training goes on meanwhile, and the checkpoint before it stays as it is.
class CheckpointSaver {
 public:
  // Error(kIo) where the folder cannot be written to. The options, the clock and the listener must outlive
  // it.
  CheckpointSaver(std::filesystem::path folder, RunIdentity identity, const TrainOptions& options,
                  const TrainClock& clock, Progress& progress);

  // Loads what an earlier run saved, if anything, and fills the parameters. Where no checkpoint is readable,
  // though there are some, an error says what to do.
  std::optional<TrainState> Load(std::span<Parameter> parameters);

  void SaveIfDue(const TrainState& state, std::span<const Parameter> parameters);
  // Saves unless that state is saved already. False where it failed.
  bool Save(const TrainState& state, std::span<const Parameter> parameters);
  // Save, tried again for some minutes where it fails, or until Ctrl-C.
  bool SaveAtEnd(const TrainState& state, std::span<const Parameter> parameters);

  bool enabled() const { return !folder_.empty(); }
  std::int64_t saved_step() const { return saved_.step; }
  const std::string& failure() const { return failure_; }  // why the last attempt failed; empty: it did not

 private:
  // Identifies a saved state. The step alone does not, because its validation loss may come later.
  struct Mark {
    std::int64_t step = 0;
    bool validated = false;
    bool operator==(const Mark&) const = default;
  };
  static Mark MarkOf(const TrainState& state);
  bool IsDue(std::int64_t step) const;
  TrainState LoadFrom(const std::filesystem::path& file, std::span<Parameter> parameters);
  std::optional<TrainState> LoadEarlier(const std::string& why, std::span<Parameter> parameters);
  void KeepLatest(std::int64_t next_step);
  void RemoveEarlier(std::int64_t most);
  void MakeRoom();

  std::filesystem::path folder_, checkpoint_;
  RunIdentity identity_;
  const TrainOptions& options_;
  const TrainClock& clock_;
  Progress& progress_;
  Mark saved_;          // before the first step there is nothing to save
  bool whole_ = false;  // checkpoint.gguf is that of saved_
  double saved_at_, tried_at_;
  std::string failure_;
  bool told_ = false;  // that nothing earlier is kept
};

}  // namespace longspan
