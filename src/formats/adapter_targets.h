// What a LoRA adapter may adapt, and the names that Hugging Face's PEFT and GGUF have for it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/adapter.h"
#include "model/config.h"
#include "model/weight_id.h"

namespace longspan {

// The weight of this name, if an adapter may adapt it: a projection of a layer, the embedding, or the output
// (LM head).
std::optional<WeightId> ParseAdapterTarget(std::string_view name);

// Every target of a model, in the order in which files have them.
std::vector<std::string> AdapterTargets(const LlamaConfig& config);

// {out, in} of a target, whose delta is B [out, rank] A [rank, in]. The embedding's rows are tokens: out is
// the vocabulary.
std::pair<std::int64_t, std::int64_t> AdapterMeasures(const LlamaConfig& config, std::string_view target);

// The pairs by target as a list in the order of `AdapterTargets`. Error(kInvalidFile), naming `where`, for
// half a pair.
std::vector<LoraAdapter::Pair> CollectPairs(std::map<std::string, LoraAdapter::Pair>& found,
                                            const LlamaConfig& config, const std::string& where);

// Error(kInvalidFile), naming `where`, unless every pair fits the model and the rank, and no target appears
// twice; Error(kUnsupported) for an adapted output that is the embedding.
void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where);

inline constexpr std::int64_t kMaxAdapterRank = 1 << 16;

}  // namespace longspan
