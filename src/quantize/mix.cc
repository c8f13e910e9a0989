#include "quantize/mix.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <utility>

#include <fmt/ranges.h>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::array<Mix, 10> kMixes{{
    {"F32", Type::kF32, 0},
    {"F16", Type::kF16, 1},
    {"BF16", Type::kBF16, 32},
    {"Q8_0", Type::kQ8_0, 7},
    {"Q6_K", Type::kQ6_K, 18},
    {"Q5_K_M", Type::kQ5_K, 17},
    {"Q5_K_S", Type::kQ5_K, 16},
    {"Q4_K_M", Type::kQ4_K, 15},
    {"Q4_K_S", Type::kQ4_K, 14},
    {"Q4_0", Type::kQ4_0, 2},
}};

bool IsQuantized(Type type) { return Traits(type).block_elements > 1; }

bool IsFloat(Type type) {
  return IsQuantized(type) || type == Type::kF32 || type == Type::kF16 || type == Type::kBF16 || type == Type::kF64;
}

// N of "blk.N.attn_v.weight".
std::optional<std::int64_t> LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::int32_t layer;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || layer < 0 || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

// Matrices that multiply activations or hold embeddings. Routers of experts are small and sensitive.
bool IsMatrix(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  return name.ends_with(".weight") && tensor.shape.size() >= 2 && !name.ends_with("_norm.weight") &&
         name.find("ffn_gate_inp") == std::string_view::npos && IsFloat(tensor.type);
}

// The layers whose attn_v and ffn_down deserve more bits: the first and the last eighth, where errors hurt most,
// and every third between.
bool DeservesMoreBits(std::int64_t layer, std::int64_t layers) {
  const std::int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

struct Model {
  std::int64_t layers = 0;
  bool tied = true;  // the embedding is the output, too
};

Model Survey(std::span<const TensorInfo> tensors) {
  Model model;
  for (const TensorInfo& tensor : tensors) {
    if (const auto layer = LayerOf(tensor.name)) model.layers = std::max(model.layers, *layer + 1);
    if (tensor.name == "output.weight") model.tied = false;
  }
  return model;
}

Type MixType(const Mix& mix, const Model& model, std::string_view name) {
  if (!IsQuantized(mix.base)) return mix.base;
  const bool is_output = name == "output.weight" || (model.tied && name == "token_embd.weight");
  if (is_output) return mix.base == Type::kQ8_0 ? Type::kQ8_0 : Type::kQ6_K;

  const std::optional<std::int64_t> layer = LayerOf(name);
  const bool is_value = name.ends_with(".attn_v.weight"), is_down = name.ends_with(".ffn_down.weight");
  if (!layer || (!is_value && !is_down)) return mix.base;
  if (mix.name == "Q4_K_M" || mix.name == "Q5_K_M") {
    return DeservesMoreBits(*layer, model.layers) ? Type::kQ6_K : mix.base;
  }
  if (mix.name == "Q4_K_S") {
    const std::int64_t first = is_value ? 4 : model.layers / 8;
    return *layer < first ? Type::kQ5_K : mix.base;
  }
  return mix.base;
}

Type WantedType(const Mix& mix, const Model& model, const MixOverrides& overrides, const TensorInfo& tensor) {
  for (const TypeRule& rule : overrides.rules) {
    if (IsFloat(tensor.type) && rule.pattern.Matches(tensor.name)) return rule.type;
  }
  if (!IsMatrix(tensor)) return IsFloat(tensor.type) ? Type::kF32 : tensor.type;
  if (overrides.embedding_type && tensor.name == "token_embd.weight") return *overrides.embedding_type;
  const bool is_output = tensor.name == "output.weight" || (model.tied && tensor.name == "token_embd.weight");
  if (overrides.output_type && is_output) return *overrides.output_type;
  return MixType(mix, model, tensor.name);
}

bool Fits(Type type, std::int64_t cols) { return cols % Traits(type).block_elements == 0; }

}  // namespace

std::span<const Mix> AllMixes() { return kMixes; }

const Mix& FindMix(std::string_view name) {
  const auto same = [](unsigned char a, unsigned char b) { return std::toupper(a) == std::toupper(b); };
  std::vector<std::string_view> names;
  for (const Mix& mix : kMixes) {
    if (std::ranges::equal(mix.name, name, same)) return mix;
    names.push_back(mix.name);
  }
  Fail(ErrorKind::kBadOption, "no mix is called {}; there are {}", name, fmt::join(names, ", "));
}

Type FallBack(Type wanted, std::int64_t cols) {
  if (Fits(wanted, cols)) return wanted;
  const Type next = wanted == Type::kQ4_K   ? Type::kQ5_0
                    : wanted == Type::kQ5_K ? Type::kQ5_1
                    : wanted == Type::kQ6_K ? Type::kQ8_0
                                            : Type::kF16;
  return Fits(next, cols) ? next : Type::kF16;
}

std::vector<TypeChoice> ChooseTypes(const Mix& mix, std::span<const TensorInfo> tensors,
                                    const MixOverrides& overrides) {
  const Model model = Survey(tensors);
  std::vector<TypeChoice> choices;
  choices.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) {
    const std::int64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
    const Type wanted = WantedType(mix, model, overrides, tensor);
    choices.push_back({tensor.name, cols, wanted, FallBack(wanted, cols)});
  }
  return choices;
}

std::vector<std::string> DescribeFallBacks(std::span<const TypeChoice> choices) {
  struct Group {
    std::int64_t count = 0;
    const TypeChoice* first = nullptr;
  };
  std::map<std::pair<Type, Type>, Group> groups;
  for (const TypeChoice& choice : choices) {
    if (choice.wanted == choice.type) continue;
    Group& group = groups[{choice.wanted, choice.type}];
    if (group.count++ == 0) group.first = &choice;
  }
  std::vector<std::string> lines;
  for (const auto& [types, group] : groups) {
    const TypeTraits& wanted = Traits(types.first);
    lines.push_back(fmt::format("{} instead of {} for {} tensor{} whose rows are no multiple of {} ({} has {} columns)",
                                Traits(types.second).name, wanted.name, group.count, group.count == 1 ? "" : "s",
                                wanted.block_elements, group.first->name, group.first->cols));
  }
  return lines;
}

}  // namespace longspan
