// The memory that a training run needs, by purpose, known before anything is allocated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "train/options.h"

namespace longspan {

struct MemoryPart {
  std::string what;  // a noun phrase: "layers' inputs, kept for the way back"
  std::int64_t bytes = 0;
};

std::int64_t TotalBytes(const std::vector<MemoryPart>& parts);

// The memory that Network and Train hold at their peak, for examples of `length` tokens. The base's weights
// are not in it unless all of them are trained: otherwise they stay in their file, mapped.
std::vector<MemoryPart> TrainingMemory(const LlamaConfig& config, const TrainOptions& options,
                                       std::int64_t length, int threads);

// Of AdamW, in memory and in a checkpoint.
std::int64_t MomentBytes(const LlamaConfig& config, const TrainOptions& options);

// Values that are trained: all weights, or those of the adapter.
std::int64_t TrainedParameters(const LlamaConfig& config, const TrainOptions& options);

}  // namespace longspan
