// Mixes: which element type each tensor of a model gets. The names and choices are those that users of
// llama.cpp know, so that a Q4_K_M of longspan's is what they expect of a Q4_K_M.
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

struct Mix {
  std::string_view name;    // "Q4_K_M"
  Type base;                // what most matrices get
  std::uint32_t file_type;  // GGUF's general.file_type
};

std::span<const Mix> AllMixes();
// Case-insensitive. Error(kBadOption), listing the names, for another.
const Mix& FindMix(std::string_view name);

// What a mix has to know of a tensor.
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
};

// `wanted` is what mix and overrides say; `type` is that, or the type it falls back to where the row length is no
// whole number of blocks.
struct TypeChoice {
  std::string name;
  std::int64_t cols = 0;
  Type wanted = Type::kF32;
  Type type = Type::kF32;
};

// The table of types, in the order of `tensors`. Vectors become F32 (or stay integers). The number of layers and
// whether the embedding serves as the output are read off the names.
std::vector<TypeChoice> ChooseTypes(const Mix& mix, std::span<const TensorInfo> tensors,
                                    const MixOverrides& overrides = {});

// `wanted` for rows of `cols`, or the nearest type that fits them: Q4_K -> Q5_0, Q5_K -> Q5_1, Q6_K -> Q8_0, and
// F16 where nothing else divides.
Type FallBack(Type wanted, std::int64_t cols);

// One line for each kind of fall-back.
std::vector<std::string> DescribeFallBacks(std::span<const TypeChoice> choices);

}  // namespace longspan
