#include "quantize/mix.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <utility>

#include <fmt/ranges.h>

#include "base/error.h"
#include "formats/file_type.h"
#include "model/weight_id.h"

namespace longspan {

// The layers that a rule applies to. "Most" are those where errors hurt most: the first and the last eighth,
// and every third between.
enum class Layers { kAll, kFirstTwo, kFirstFour, kFirst16th, kFirst8th, kInner, kMost };

// When a rule holds. "Shared" is a KV head that serves at least four query heads: attn_v is then small, and
// each of its errors meets many heads.
enum class When { kAlways, kShared, kMatrix, kNoMatrix };

struct MixRule {
  Part part;
  Type type;
  Layers layers = Layers::kAll;
  When when = When::kAlways;
};

namespace {

using enum Part;
using enum Layers;
using enum When;

// ---- The mixes: those of llama.cpp's llama-quantize for a dense model. The first rule of a part that holds
// decides. A part without such a rule gets the mix's base, and the output Q6_K.

constexpr MixRule kQ8_0[] = {{kOutput, Type::kQ8_0}};
constexpr MixRule kQ4_0[] = {{kDown, Type::kQ4_1, kFirst8th, kMatrix}};
constexpr MixRule kQ5_0[] = {{kDown, Type::kQ5_1, kFirst8th, kMatrix}};

constexpr MixRule kQ2_K[] = {
    {kV, Type::kQ4_K, kAll, kShared}, {kV, Type::kQ3_K}, {kO, Type::kQ3_K}, {kDown, Type::kQ3_K}};
constexpr MixRule kQ2_K_S[] = {{kV, Type::kQ4_K, kAll, kShared}, {kDown, Type::kQ4_K, kFirst8th}};
constexpr MixRule kQ3_K_M[] = {{kV, Type::kQ5_K, kFirstTwo},
                               {kV, Type::kQ4_K},
                               {kO, Type::kQ4_K},
                               {kDown, Type::kQ5_K, kFirst16th},
                               {kDown, Type::kQ4_K}};
constexpr MixRule kQ3_K_L[] = {{kV, Type::kQ5_K}, {kO, Type::kQ5_K}, {kDown, Type::kQ5_K}};
constexpr MixRule kQ4_K_S[] = {{kV, Type::kQ5_K, kFirstFour}, {kDown, Type::kQ5_K, kFirst8th}};
constexpr MixRule kMedium[] = {{kV, Type::kQ6_K, kMost}, {kDown, Type::kQ6_K, kMost}};

constexpr MixRule kIQ1[] = {
    {kEmbedding, Type::kQ2_K}, {kOutput, Type::kQ5_K}, {kV, Type::kQ4_K, kAll, kShared},
    {kV, Type::kQ2_K},         {kO, Type::kIQ2_XXS},   {kDown, Type::kQ2_K, kFirst8th}};
constexpr MixRule kIQ2_Small[] = {{kEmbedding, Type::kQ2_K},
                                  {kOutput, Type::kQ5_K},
                                  {kV, Type::kQ4_K, kAll, kShared},
                                  {kV, Type::kQ2_K},
                                  {kDown, Type::kQ2_K, kFirst8th}};
constexpr MixRule kIQ2_Large[] = {
    {kEmbedding, Type::kIQ3_S}, {kOutput, Type::kQ5_K}, {kV, Type::kQ4_K, kAll, kShared},
    {kV, Type::kIQ3_S},         {kO, Type::kIQ3_S},     {kDown, Type::kIQ3_S, kFirst8th}};
constexpr MixRule kIQ3_XXS[] = {{kEmbedding, Type::kIQ3_S},
                                {kOutput, Type::kQ5_K},
                                {kQ, Type::kIQ2_S},
                                {kK, Type::kIQ2_S},
                                {kV, Type::kQ4_K, kAll, kShared},
                                {kV, Type::kIQ3_S, kAll, kNoMatrix},
                                {kO, Type::kIQ3_S},
                                {kDown, Type::kQ4_K, kFirst8th, kNoMatrix},
                                {kDown, Type::kQ3_K, kAll, kNoMatrix}};
constexpr MixRule kIQ3_XS[] = {{kQ, Type::kIQ3_XXS},
                               {kK, Type::kIQ3_XXS},
                               {kV, Type::kQ4_K, kAll, kShared},
                               {kGate, Type::kIQ3_XXS, kInner},
                               {kUp, Type::kIQ3_XXS, kInner}};
constexpr MixRule kIQ3_S[] = {{kV, Type::kQ4_K, kAll, kShared}};
constexpr MixRule kIQ3_M[] = {{kV, Type::kQ4_K}, {kO, Type::kQ4_K}, {kDown, Type::kQ4_K, kFirst8th}};
constexpr MixRule kIQ4[] = {{kV, Type::kQ5_K, kAll, kShared}, {kDown, Type::kQ5_K, kFirst8th, kNoMatrix}};

constexpr MixRule kTernary[] = {{kEmbedding, Type::kQ4_K}};
// llama.cpp gives MXFP4 to experts alone; these are its types for what is not in the layers.
constexpr MixRule kMXFP4[] = {{kEmbedding, Type::kQ8_0}, {kOutput, Type::kQ8_0}};

constexpr Mix Make(std::string_view name, std::span<const MixRule> rules = {}) {
  const auto* file_type = std::ranges::find(kFileTypes, name, &FileType::name);
  return {name, file_type->type, file_type->id, rules};
}

constexpr Mix kMixes[] = {
    Make("F32"),
    Make("F16"),
    Make("BF16"),
    Make("Q8_0", kQ8_0),
    Make("Q6_K"),
    Make("Q5_K_M", kMedium),
    Make("Q5_K_S"),
    Make("Q5_1"),
    Make("Q5_0", kQ5_0),
    Make("Q4_K_M", kMedium),
    Make("Q4_K_S", kQ4_K_S),
    Make("IQ4_NL", kIQ4),
    Make("IQ4_XS", kIQ4),
    Make("Q4_1"),
    Make("Q4_0", kQ4_0),
    Make("MXFP4", kMXFP4),
    Make("Q3_K_L", kQ3_K_L),
    Make("Q3_K_M", kQ3_K_M),
    Make("Q3_K_S"),
    Make("IQ3_M", kIQ3_M),
    Make("IQ3_S", kIQ3_S),
    Make("IQ3_XS", kIQ3_XS),
    Make("IQ3_XXS", kIQ3_XXS),
    Make("Q2_K", kQ2_K),
    Make("Q2_K_S", kQ2_K_S),
    Make("IQ2_M", kIQ2_Large),
    Make("IQ2_S", kIQ2_Large),
    Make("IQ2_XS", kIQ2_Small),
    Make("IQ2_XXS", kIQ2_Small),
    Make("TQ2_0", kTernary),
    Make("TQ1_0", kTernary),
    Make("IQ1_M", kIQ1),
    Make("IQ1_S", kIQ1),
};

// Other names that llama-quantize knows.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"Q5_K", "Q5_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q3_K", "Q3_K_M"}, {"MXFP4_MOE", "MXFP4"}};

// Each type with blocks of 256, and the type with blocks of 32 that replaces it where 256 does not divide a
// row.
constexpr std::pair<Type, Type> kFallBacks[] = {
    {Type::kIQ1_S, Type::kIQ4_NL},  {Type::kIQ1_M, Type::kIQ4_NL},  {Type::kIQ2_XXS, Type::kIQ4_NL},
    {Type::kIQ2_XS, Type::kIQ4_NL}, {Type::kIQ2_S, Type::kIQ4_NL},  {Type::kIQ3_XXS, Type::kIQ4_NL},
    {Type::kIQ3_S, Type::kIQ4_NL},  {Type::kIQ4_XS, Type::kIQ4_NL}, {Type::kTQ1_0, Type::kQ4_0},
    {Type::kTQ2_0, Type::kQ4_0},    {Type::kQ2_K, Type::kQ4_0},     {Type::kQ3_K, Type::kQ4_0},
    {Type::kQ4_K, Type::kQ5_0},     {Type::kQ5_K, Type::kQ5_1},     {Type::kQ6_K, Type::kQ8_0},
};

// Types so coarse that they spend their bits well only where they know which columns matter.
constexpr Type kNeedImportance[] = {Type::kIQ1_S,  Type::kIQ1_M, Type::kIQ2_XXS,
                                    Type::kIQ2_XS, Type::kIQ2_S, Type::kIQ3_XXS};

// ---- Reading a model off its tensors.

bool IsQuantized(Type type) { return Traits(type).block_elements > 1; }

bool Fits(Type type, std::int64_t cols) { return cols % Traits(type).block_elements == 0; }

bool IsFloat(Type type) {
  return IsQuantized(type) || type == Type::kF32 || type == Type::kF16 || type == Type::kBF16 ||
         type == Type::kF64;
}

// Which part of its layer a tensor is. Stacked experts count too ("ffn_up_exps.weight").
std::optional<Part> LayerPart(std::string_view rest) {
  for (const PartTraits& traits : AllParts()) {
    if (!traits.in_layer || traits.kind != PartKind::kMatrix || !rest.starts_with(traits.gguf)) continue;
    if (traits.gguf.starts_with("ffn_") || rest.substr(traits.gguf.size()) == ".weight") return traits.part;
  }
  return std::nullopt;
}

bool IsOutput(std::string_view name) { return ParseGgufName(name) == WeightId{-1, kOutput}; }
bool IsEmbedding(std::string_view name) { return ParseGgufName(name) == WeightId{-1, kEmbedding}; }

// Matrices that multiply activations or hold embeddings. Not the routers of experts, because they are small
// and sensitive.
bool IsMatrix(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  return name.ends_with(".weight") && tensor.shape.size() >= 2 && !name.ends_with("_norm.weight") &&
         name.find("ffn_gate_inp") == std::string_view::npos && IsFloat(tensor.type);
}

struct Model {
  std::int64_t layers = 0;
  std::int64_t queries_per_kv = 1;  // heads of q to one of k
  bool tied = true;                 // the embedding is the output, too
};

Model Survey(std::span<const TensorInfo> tensors) {
  Model model;
  std::int64_t q_rows = 0, k_rows = 0;
  for (const TensorInfo& tensor : tensors) {
    if (IsOutput(tensor.name)) model.tied = false;
    const std::optional<LayerName> place = ParseGgufLayer(tensor.name);
    if (!place) continue;
    model.layers = std::max(model.layers, place->layer + 1);
    if (tensor.shape.empty()) continue;
    const std::optional<Part> part = LayerPart(place->rest);
    if (part == kQ) q_rows = tensor.shape.front();
    if (part == kK) k_rows = tensor.shape.front();
  }
  if (k_rows > 0) model.queries_per_kv = q_rows / k_rows;
  return model;
}

// ---- Choosing.

bool Holds(Layers layers, std::int64_t layer, std::int64_t n) {
  switch (layers) {
    case kAll: return true;
    case kFirstTwo: return layer < 2;
    case kFirstFour: return layer < 4;
    case kFirst16th: return layer < n / 16;
    case kFirst8th: return layer < n / 8;
    case kInner: return layer >= n / 8 && layer < 7 * n / 8;
    case kMost: return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
  }
  return false;
}

bool Holds(When when, const Model& model, bool has_matrix) {
  switch (when) {
    case kAlways: return true;
    case kShared: return model.queries_per_kv >= 4;
    case kMatrix: return has_matrix;
    case kNoMatrix: return !has_matrix;
  }
  return false;
}

// In the 70B models attn_v is an eighth of attn_q, and more bits for it cost next to nothing. Mixes below
// three bits have rules of their own for this.
bool IsSmallValue(const Mix& mix, const Model& model, std::optional<Part> part) {
  return part == kV && model.layers == 80 && model.queries_per_kv > 1 &&
         Traits(mix.base).BitsPerWeight() > Traits(Type::kIQ2_S).BitsPerWeight();
}

Type MixType(const Mix& mix, const Model& model, bool has_matrix, const TensorInfo& tensor) {
  if (!IsQuantized(mix.base)) return mix.base;
  const std::optional<LayerName> place = ParseGgufLayer(tensor.name);
  std::optional<Part> part;
  if (place) part = LayerPart(place->rest);
  if (IsEmbedding(tensor.name)) part = model.tied ? kOutput : kEmbedding;
  if (IsOutput(tensor.name)) part = kOutput;
  if (part == kOutput && !Fits(mix.base, tensor.shape.back())) return Type::kQ6_K;  // which becomes Q8_0
  const auto holds = [&](const MixRule& rule) {
    return rule.part == part && Holds(rule.layers, place ? place->layer : 0, model.layers) &&
           Holds(rule.when, model, has_matrix);
  };
  const auto rule = std::ranges::find_if(mix.rules, holds);
  const Type type = rule != mix.rules.end() ? rule->type : part == kOutput ? Type::kQ6_K : mix.base;
  const bool raised = IsSmallValue(mix, model, part) && (type == Type::kQ3_K || type == Type::kQ4_K);
  return raised ? Type::kQ5_K : type;
}

Type WantedType(const Mix& mix, const Model& model, const MixOverrides& overrides, const TensorInfo& tensor) {
  for (const TypeRule& rule : overrides.rules) {
    if (IsFloat(tensor.type) && rule.pattern.Matches(tensor.name)) return rule.type;
  }
  if (!IsMatrix(tensor)) return IsFloat(tensor.type) ? Type::kF32 : tensor.type;
  if (overrides.embedding_type && IsEmbedding(tensor.name)) return *overrides.embedding_type;
  const bool is_output = IsOutput(tensor.name) || (model.tied && IsEmbedding(tensor.name));
  if (overrides.output_type && is_output) return *overrides.output_type;
  return MixType(mix, model, overrides.has_matrix, tensor);
}

bool SameName(std::string_view a, std::string_view b) {
  const auto same = [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); };
  return std::ranges::equal(a, b, same);
}

}  // namespace

std::span<const Mix> AllMixes() { return kMixes; }

const Mix& FindMix(std::string_view name) {
  for (const auto& [alias, meant] : kAliases) {
    if (SameName(alias, name)) name = meant;
  }
  std::vector<std::string_view> names;
  for (const Mix& mix : kMixes) {
    if (SameName(mix.name, name)) return mix;
    names.push_back(mix.name);
  }
  Fail(ErrorKind::kBadOption, "no mix is called {}; there are {}", name, fmt::join(names, ", "));
}

Type FallBack(Type wanted, std::int64_t cols) {
  if (Fits(wanted, cols)) return wanted;
  const auto it = std::ranges::find(kFallBacks, wanted, &std::pair<Type, Type>::first);
  return it != std::end(kFallBacks) && Fits(it->second, cols) ? it->second : Type::kF16;
}

bool NeedsImportance(const Mix& mix, const TypeChoice& choice) {
  if (IsOutput(choice.name) || IsEmbedding(choice.name)) return false;
  return std::ranges::find(kNeedImportance, choice.type) != std::end(kNeedImportance) ||
         (choice.type == Type::kQ2_K && mix.name == "Q2_K_S");
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
    lines.push_back(
        fmt::format("{} instead of {} for {} tensor{} whose rows are no multiple of {} ({} has {} columns)",
                    Traits(types.second).name, wanted.name, group.count, group.count == 1 ? "" : "s",
                    wanted.block_elements, group.first->name, group.first->cols));
  }
  return lines;
}

}  // namespace longspan
