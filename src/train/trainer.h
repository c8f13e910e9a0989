// The training loop.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/network.h"
#include "train/options.h"

namespace longspan {

struct TrainData {
  // Examples [first, first + count): a pure function, so that a resumed run sees what it would have seen.
  std::function<Batch(std::int64_t first, std::int64_t count)> examples;
  std::int64_t examples_per_epoch = 0;
  std::vector<Batch> validation;  // may be empty
};

// Trains `network` up to options.steps. Where `folder` is not empty, a checkpoint and log.jsonl are kept
// there, and a run that finds a checkpoint goes on from it. Ctrl-C saves a checkpoint and throws
// Error(kCancelled). `fingerprint` describes everything besides the options that the result depends on.
TrainState Train(Network& network, const TrainData& data, const TrainOptions& options,
                 std::string_view fingerprint, const std::filesystem::path& folder, Progress& progress);

// The mean validation loss; empty data gives zero tokens.
Loss Validate(Network& network, const std::vector<Batch>& validation);

}  // namespace longspan
