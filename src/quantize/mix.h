// Mixes: which element type each tensor of a model gets. The names and choices are those that users of
// llama-quantize know, so that a Q4_K_M of longspan's is what they expect of a Q4_K_M.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantize/name_pattern.h"
#include "tensor/type.h"

namespace longspan {

struct MixRule;  // one exception that a mix makes, in mix.cc

struct Mix {
  std::string_view name;    // "Q4_K_M"
  Type base;                // what most matrices get
  std::uint32_t file_type;  // GGUF's general.file_type
  std::span<const MixRule> rules = {};
};

std::span<const Mix> AllMixes();
// Case-insensitive; Q3_K, Q4_K and Q5_K mean Q3_K_M, Q4_K_M and Q5_K_M. Error(kBadOption), listing the names,
// for any other.
const Mix& FindMix(std::string_view name);

// What a mix needs to know about a tensor.
struct TensorInfo {
  std::string name;  // GGUF's: "blk.3.attn_v.weight"
  Type type = Type::kF32;
  std::vector<std::int64_t> shape;  // outermost first
};

// Tensors whose names the pattern matches somewhere get this type, whatever the mix says.
struct TypeRule {
  NamePattern pattern;
  Type type;
};

struct MixOverrides {
  std::vector<TypeRule> rules;  // the first that matches counts, before all else
  std::optional<Type> output_type;
  std::optional<Type> embedding_type;
  bool has_matrix = false;  // weights are encoded with an importance matrix: some mixes then choose otherwise
};

// `wanted` is what mix and overrides say; `type` is that, or the type it falls back to where the row length
// is no whole number of blocks.
struct TypeChoice {
  std::string name;
  std::int64_t cols = 0;
  Type wanted = Type::kF32;
  Type type = Type::kF32;
};

// The table of types, in the order of `tensors`. Vectors become F32 (or stay integers). The number of layers
// and whether the embedding serves as the output are read off the names.
std::vector<TypeChoice> ChooseTypes(const Mix& mix, std::span<const TensorInfo> tensors,
                                    const MixOverrides& overrides = {});

// Whether a tensor of this mix is worthless unless it is encoded with an importance matrix. The embedding
// never is: each token reads a row of it as it is.
bool NeedsImportance(const Mix& mix, const TypeChoice& choice);

// `wanted` for rows of `cols`, or the nearest type that fits them: a type of blocks of 32 (Q4_K -> Q5_0, Q6_K
// -> Q8_0, IQ3_S -> IQ4_NL), and F16 where nothing else divides.
Type FallBack(Type wanted, std::int64_t cols);

// One line for each kind of fall-back.
std::vector<std::string> DescribeFallBacks(std::span<const TypeChoice> choices);

}  // namespace longspan
