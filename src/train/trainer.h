// The training loop.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/checkpoint_saver.h"
#include "train/network.h"
#include "train/options.h"

namespace longspan {

struct TrainData {
  // Examples [first, first + count): a pure function, so that a resumed run sees what it would have seen.
  std::function<Batch(std::int64_t first, std::int64_t count)> examples;
  std::int64_t examples_per_epoch = 0;
  std::vector<Batch> validation;  // may be empty
  std::string content;            // a digest of the text behind the examples

  double StepsPerEpoch(const TrainOptions& options) const {
    return static_cast<double>(examples_per_epoch) / static_cast<double>(options.ExamplesPerStep());
  }
};

// Hears of a run while it is made.
class TrainListener {
 public:
  virtual ~TrainListener() = default;
  virtual void Begin(const TrainState& /*state*/) {}  // as it was loaded, or new
  // A step is done, its validation included. Again for a step whose validation was interrupted and made up.
  virtual void Step(const TrainLogPoint& /*point*/) {}
  virtual void End(const TrainState& /*state*/) {}  // the last step is done
};

// Trains `network` up to options.steps. Where `folder` is not empty, a checkpoint and log.jsonl are kept
// there (train/checkpoint_saver.h), and a run that finds a checkpoint goes on from it. `settings` describes
// what the result depends on besides the options, the text and the base.
//
// Ctrl-C is checked for between layers. The interrupted step is discarded, the last whole one is saved, and
// Error(kCancelled) says so. Any other error in a step saves the last whole one, too: Error(kInvalidFile)
// where a weight of the network is no number, Error(kBadOption) where more than options.max_skipped steps in
// a row had to be left out (train/skipped_steps.h).
//
// Where the final state cannot be saved even after some minutes, the network still holds the result, and
// `unsaved` in the returned state says why. Callers then save the result and fail.
TrainState Train(Network& network, const TrainData& data, const TrainOptions& options,
                 std::string_view settings, const std::filesystem::path& folder, Progress& progress,
                 const TrainClock& clock = {}, TrainListener* listener = nullptr);

// The mean validation loss; empty data gives zero tokens. Error(kCancelled).
Loss Validate(Network& network, const std::vector<Batch>& validation, const WorkListener& worked = {});

}  // namespace longspan
