// Which keys of a recipe, with which values, would make it fit a machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "plan/job_plan.h"
#include "release/recipe.h"

namespace longspan {

struct KeyChange {
  std::string key, value;  // "train.recompute", "true"
};

// The smallest of a list of changes, each to what went before, after which training takes at most `bytes`:
// recompute, smaller batches with as many examples a step, shorter examples, a smaller rank. Nothing where
// none suffices; empty where none is needed. `fixed` bytes are needed besides.
std::optional<std::vector<KeyChange>> ChangesForTraining(const LlamaConfig& config,
                                                         const TrainOptions& options, std::int64_t length,
                                                         int threads, std::int64_t fixed, std::int64_t bytes);

// The same for measuring: the longest text, in tokens, that `models` models of this config can read in
// `bytes`.
std::int64_t LongestTextWithin(const LlamaConfig& config, int models, std::int64_t bytes);

// What does not fit plan.machine, with what would, for examples of `length` tokens.
std::vector<Shortage> FindShortages(const JobPlan& plan, const LlamaConfig& config,
                                    const TrainOptions& options, std::int64_t length);

// "train.recompute: true, train.rank: 128"
std::string Describe(const std::vector<KeyChange>& changes);

}  // namespace longspan
