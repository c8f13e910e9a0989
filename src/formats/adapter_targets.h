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

namespace longspan {

// A name of ForEachTensor taken apart: a projection of a layer, the embedding, or the output (LM head).
struct AdapterTarget {
  std::int64_t layer = 0;   // -1 outside layers
  std::string_view module;  // "q_proj", "embed_tokens"
  std::string_view block;   // "self_attn", "mlp", or nothing
  bool rotated = false;     // by RoPE, so that the order of rows matters

  static std::optional<AdapterTarget> Parse(std::string_view name);
  bool IsEmbedding() const { return module == "embed_tokens"; }
  // "model.layers.3.self_attn.q_proj", "lm_head".
  std::string HfModule() const;
};

// Every target of a model, in the order in which files have them.
std::vector<std::string> AdapterTargets(const LlamaConfig& config);

// {out, in} of a target, whose delta is B [out, rank] A [rank, in]. The embedding's rows are tokens: out is
// the vocabulary.
std::pair<std::int64_t, std::int64_t> AdapterMeasures(const LlamaConfig& config, std::string_view target);

// The pairs by target as a list in the order of `AdapterTargets`. Error(kInvalidFile), naming `where`, for
// half a pair.
std::vector<LoraAdapter::Pair> CollectPairs(std::map<std::string, LoraAdapter::Pair>& found,
                                            const LlamaConfig& config, const std::string& where);

// Error(kInvalidFile), naming `where`, unless every pair fits the model and the rank, and no target is there
// twice; Error(kUnsupported) for an adapted output that is the embedding.
void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where);

inline constexpr std::int64_t kMaxAdapterRank = 1 << 16;

}  // namespace longspan
