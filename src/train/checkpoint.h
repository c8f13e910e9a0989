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

struct TrainState {
  std::int64_t step = 0;    // steps done
  std::int64_t tokens = 0;  // tokens seen, padding included
  double seconds = 0;       // of training, over all runs
  TrainLog log;
};

// `fingerprint` says what the run is; a checkpoint of another run is refused.
void SaveCheckpoint(const std::filesystem::path& path, const TrainState& state, std::string_view fingerprint,
                    std::span<const Parameter> parameters);

// Fills the parameters and returns the state. Error(kInvalidFile) where the file does not fit them,
// Error(kBadOption) where its fingerprint differs.
TrainState LoadCheckpoint(const std::filesystem::path& path, std::string_view fingerprint,
                          std::span<Parameter> parameters);

}  // namespace longspan
