// Checkpoints: everything that the next step depends on, so that a resumed run equals an uninterrupted one
// bit for bit. The container is GGUF: parameters, AdamW's moments, the step, and the log so far.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "train/parameter.h"
#include "train/train_log.h"

namespace longspan {

// What identifies a run. It goes on only from a checkpoint in which all three are equal.
struct RunIdentity {
  std::string settings;  // words: names and values
  std::string text;      // a digest of what is trained on
  std::string base;      // a digest of the model that it starts from
};

struct TrainState {
  std::int64_t step = 0;    // steps done
  std::int64_t tokens = 0;  // tokens seen, padding left out
  double seconds = 0;       // of training, over all runs
  TrainLog log;             // a point for each step
  std::string unsaved;      // why the state at the end could not be saved; empty: it was
};

// Replaces `path` once the new file is whole. Error(kIo).
void SaveCheckpoint(const std::filesystem::path& path, const TrainState& state, const RunIdentity& identity,
                    std::span<const Parameter> parameters);

// Whether `path` is a checkpoint of this run, as far as its header says. Reads no parameter.
bool IsCheckpointOf(const std::filesystem::path& path, const RunIdentity& identity);

// Fills the parameters and returns the state. Error(kBadOption) where the checkpoint is of another run: the
// message says what differs. Error(kInvalidFile) where the file is damaged or does not fit the parameters.
TrainState LoadCheckpoint(const std::filesystem::path& path, const RunIdentity& identity,
                          std::span<Parameter> parameters);

}  // namespace longspan
