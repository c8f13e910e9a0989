// The stretch itself: training on positions of the target window, and merging the result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/progress.h"
#include "formats/rope_override.h"
#include "model/config.h"
#include "model/weights.h"
#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

// What a stretch works on: the recipe, with what follows from its base.
struct StretchJob {
  const Recipe& recipe;
  std::filesystem::path base;  // GGUF
  RopeOverride rope;           // while training and after
  std::int64_t window = 0;     // tokens of an example
  std::string isa;
  std::filesystem::path events = {};  // folder for TensorBoard's files
};

// The job of a base with this window; `base` is its file.
StretchJob StretchOf(const Recipe& recipe, const std::filesystem::path& base, std::int64_t base_window,
                     const std::string& isa);

// RoPE as the released model has it: as it was trained, with the theta to be released.
RopeOverride ReleasedRope(const StretchJob& job);

// Trains on `shards` and writes `trained`: a PEFT folder, or a GGUF file where all weights are trained. Goes
// on from a checkpoint in `scratch`.
TrainingFacts TrainStretch(const StretchJob& job, const std::filesystem::path& shards,
                           const std::filesystem::path& trained, const std::filesystem::path& scratch,
                           Progress& progress);

// Folds `trained` into the base and writes `merged`, with the window, the name and the theta to be released.
void MergeStretch(const StretchJob& job, const std::filesystem::path& trained,
                  const std::filesystem::path& merged, Progress& progress);

// The type that a merged model is kept in: that of most of the weights in this GGUF file, where it is a float
// type.
Type ReleaseType(const std::filesystem::path& model);

}  // namespace longspan
