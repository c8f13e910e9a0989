// Memory of the stages besides training, and what would make a job fit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "release/recipe/recipe.h"
#include "train/training_memory.h"

namespace longspan {

// What reading texts of up to `longest` tokens needs, with `models` of them side by side, each with an F32
// cache.
std::vector<MemoryPart> ReadingMemory(const LlamaConfig& config, std::int64_t longest, int models);

// What merging needs: the merged matrices, each of `bytes_per_weight`, and the largest of them in F32 twice.
std::vector<MemoryPart> MergingMemory(const LlamaConfig& config, const TrainOptions& options,
                                      std::int64_t bytes_per_weight);

// The longest text that the measurements read at once.
std::int64_t LongestText(const EvalRecipe& eval);

}  // namespace longspan
