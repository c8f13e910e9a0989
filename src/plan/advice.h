// Which keys of a recipe, with which values, would make it fit a machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "plan/job_plan.h"
#include "release/recipe/recipe.h"

namespace longspan {

struct KeyChange {
  std::string key, value;  // "train.recompute", "true"
};

// Changes after which training takes at most `bytes`, as few as possible, made in this order: recompute,
// smaller batches with as many examples a step, shorter examples, an adapter instead of full training, a
// smaller rank. Nothing where all of them are not enough; empty where none is needed. `fixed` bytes are
// needed in addition.
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
