// Which weight of a model is meant, and the table of the names and dimensions of each part of a Llama or a
// Qwen2.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace longspan {

enum class Part {
  kEmbedding,
  kAttentionNorm,
  kQ,
  kK,
  kV,
  kQBias,
  kKBias,
  kVBias,
  kO,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kOutputNorm,
  kOutput,
};

struct WeightId {
  std::int64_t layer = -1;  // -1 outside layers
  Part part = Part::kEmbedding;

  auto operator<=>(const WeightId&) const = default;
};

enum class PartKind { kMatrix, kNorm, kBias };

struct PartTraits {
  Part part;
  PartKind kind;
  bool in_layer;
  bool rotated;                              // rows are those of heads that RoPE turns
  std::string_view name;                     // "q"
  std::string_view gguf;                     // "attn_q"
  std::string_view hf;                       // "self_attn.q_proj", after "model.layers.3." in a layer
  std::int64_t (*rows)(const LlamaConfig&);  // 1 of a vector
  std::int64_t (*cols)(const LlamaConfig&);

  // Outermost first: {rows, cols} of a matrix, {cols} of a vector.
  std::vector<std::int64_t> Shape(const LlamaConfig& config) const;
};

// In the order in which ForEachTensor visits them.
std::span<const PartTraits> AllParts();
const PartTraits& Traits(Part part);

// Part::kQ of "q".
std::optional<Part> PartNamed(std::string_view name);

// longspan's name, for messages and its own files: "layers.3.q", "embedding".
std::string Name(WeightId id);

// GGUF's name: "blk.3.attn_q.weight", "token_embd.weight".
std::string GgufName(WeightId id);
std::optional<WeightId> ParseGgufName(std::string_view name);

// Hugging Face's: the module "model.layers.3.self_attn.q_proj", and its tensor with ".weight" or ".bias".
std::string HfModule(WeightId id);
std::string HfName(WeightId id);

// The parts of a name such as GGUF's "blk.3.attn_q.weight": 3 and "attn_q.weight", whatever the rest is.
struct LayerName {
  std::int64_t layer;
  std::string_view rest;
};
std::optional<LayerName> ParseGgufLayer(std::string_view name);

}  // namespace longspan
