// What a LoRA adapter may adapt: a projection of a layer, the embedding, or the output (LM head).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/config.h"
#include "model/weight_id.h"

namespace longspan {

// Every target of a model, in the order in which files have them. Its delta is B [rows, rank] A [rank, cols]
// in the part's rows and columns; the embedding's rows are tokens.
std::vector<WeightId> AdapterTargets(const LlamaConfig& config);

// The pairs by target as a list in the order of `AdapterTargets`. Error(kInvalidFile), naming `where`, for
// half a pair.
std::vector<LoraAdapter::Pair> CollectPairs(std::map<WeightId, LoraAdapter::Pair>& found,
                                            const LlamaConfig& config, const std::string& where);

// Error(kInvalidFile), naming `where`, unless every pair fits the model and the rank, and no target appears
// twice; Error(kUnsupported) for an adapted output that is the embedding.
void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where);

inline constexpr std::int64_t kMaxAdapterRank = 1 << 16;

}  // namespace longspan
