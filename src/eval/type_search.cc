#include "eval/type_search.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/ranges.h>

#include "base/error.h"
#include "encode/encode.h"
#include "eval/sensitivity.h"
#include "formats/file_type.h"
#include "model/weight_id.h"
#include "quantize/budget.h"
#include "quantize/quantize.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

// The types that a matrix may get, the coarsest first. Where blocks of 256 divide a row, most types with
// blocks of 32 are left out, because there is a better type of their size.
constexpr Type kTypes[] = {Type::kIQ1_S, Type::kIQ1_M,   Type::kIQ2_XXS, Type::kIQ2_XS, Type::kIQ2_S,
                           Type::kQ2_K,  Type::kIQ3_XXS, Type::kIQ3_S,   Type::kQ3_K,   Type::kIQ4_XS,
                           Type::kQ4_K,  Type::kQ5_K,    Type::kQ6_K,    Type::kQ8_0};
constexpr Type kNarrowTypes[] = {Type::kIQ4_NL, Type::kQ4_0, Type::kQ4_1,
                                 Type::kQ5_0,   Type::kQ5_1, Type::kQ8_0};

// A tensor that is to be decided.
struct Candidate {
  std::size_t index;  // in the file
  WeightId weight;
  std::vector<Type> types;
};

std::vector<Type> TypesFor(const GgufTensor& tensor, const ImportanceMatrix* importance) {
  const std::int64_t cols = tensor.shape.back();
  const bool has_importance = importance != nullptr && importance->Find(tensor.name) != nullptr;
  const auto possible = [&](Type type) {
    const bool informed =
        has_importance || !NeedsImportance(FindMix("Q2_K"), {tensor.name, cols, type, type});
    return FallBack(type, cols) == type && CanEncode(type) && CanDecode(type) && informed;
  };
  const bool wide = FallBack(Type::kQ4_K, cols) == Type::kQ4_K;
  std::vector<Type> types;
  for (const Type type : wide ? std::span<const Type>(kTypes) : std::span<const Type>(kNarrowTypes)) {
    if (possible(type)) types.push_back(type);
  }
  // Where there is room, the tensor may also be stored as a float or left as it is.
  if (tensor.type != Type::kBF16) types.push_back(Type::kF16);
  if (std::ranges::find(types, tensor.type) == types.end()) types.push_back(tensor.type);
  return types;
}

// The tensors that the overrides do not decide, so that two mixes disagree on them.
std::vector<Candidate> Candidates(const GgufFile& file, const TypeSearchOptions& options) {
  const std::vector<TensorInfo> infos = TensorInfos(file);
  const auto one = ChooseTypes(FindMix("Q8_0"), infos, options.overrides);
  const auto other = ChooseTypes(FindMix("Q4_0"), infos, options.overrides);
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const std::optional<WeightId> weight = ParseGgufName(infos[i].name);
    if (one[i].wanted == other[i].wanted || !weight) continue;
    if (!IsFloat(infos[i].type) && !options.allow_requantize) {
      Fail(
          ErrorKind::kBadOption,
          "{}: tensor {} is already {}; search with the original, or accept the loss with --allow-requantize",
          file.path().string(), infos[i].name, Traits(infos[i].type).name);
    }
    candidates.push_back({i, *weight, TypesFor(file.tensors()[i], options.importance)});
  }
  if (candidates.empty())
    Fail(ErrorKind::kBadOption, "{}: --type and the like decide every tensor; none is left to search",
         file.path().string());
  return candidates;
}

// Two quantised types near the size aimed at, half a bit or more apart, the coarser first. They are the
// largest type that is not above that size and the next larger one. Where there is no larger one, they are
// that type and the next smaller one. Floats are never measured, because their harm is 0 or rounding, which
// says nothing about the others.
std::vector<Type> TypesToMeasure(const std::vector<Type>& types, double bits) {
  const auto size = [](Type type) { return Traits(type).BitsPerWeight(); };
  std::vector<Type> quantized;
  for (const Type type : types) {
    if (!IsFloat(type)) quantized.push_back(type);
  }
  std::ranges::stable_sort(quantized, {}, size);
  if (quantized.empty()) return {};
  auto lower = std::ranges::find_if(quantized, [&](Type type) { return size(type) > bits; });
  if (lower != quantized.begin()) --lower;
  const auto upper =
      std::find_if(lower, quantized.end(), [&](Type type) { return size(type) >= size(*lower) + 0.5; });
  if (upper != quantized.end()) return {*lower, *upper};
  const auto below = std::find_if(std::make_reverse_iterator(lower), quantized.rend(),
                                  [&](Type type) { return size(type) <= size(*lower) - 0.5; });
  if (below != quantized.rend()) return {*below, *lower};
  return {*lower};
}

std::string Escaped(std::string_view name) {
  std::string pattern;
  for (const char c : name) {
    if (std::string_view(".^$*+?()[]{}|\\").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// The mix whose name the file gets: the one of the type that most weights have.
std::string MixName(std::span<const ChosenType> tensors) {
  std::map<Type, std::int64_t> elements;
  for (const ChosenType& tensor : tensors) elements[tensor.type] += tensor.elements;
  const Type most =
      std::ranges::max_element(elements, {}, &std::pair<const Type, std::int64_t>::second)->first;
  const auto it = std::ranges::find(kFileTypes, most, &FileType::type);
  return std::string(it == kFileTypes.end() ? kFileTypes.front().name : it->name);
}

}  // namespace

std::int64_t MixBytes(const GgufFile& file, const Mix& mix, const MixOverrides& overrides) {
  const auto choices = ChooseTypes(mix, TensorInfos(file), overrides);
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < choices.size(); ++i)
    bytes += TensorBytes(choices[i].type, file.tensors()[i].shape);
  return bytes;
}

std::vector<std::string> DescribeRules(std::span<const ChosenType> tensors) {
  // The layers of each part and type, and the types of each part. Where a part has one type, no layer need be
  // named.
  std::map<std::pair<std::string, Type>, std::vector<std::int64_t>> layers;
  std::map<std::string, std::set<Type>> types;
  std::vector<std::string> parts;
  for (const ChosenType& tensor : tensors) {
    if (!tensor.searched) continue;
    const auto in_layer = ParseGgufLayer(tensor.name);
    const std::string part(in_layer ? in_layer->rest : tensor.name);
    if (types[part].empty()) parts.push_back(part);
    types[part].insert(tensor.type);
    layers[{part, tensor.type}].push_back(in_layer ? in_layer->layer : -1);
  }
  std::vector<std::string> rules;
  for (const std::string& part : parts) {
    for (const Type type : types[part]) {
      const std::vector<std::int64_t>& of = layers[{part, type}];
      std::string pattern;
      if (of.front() < 0)
        pattern = fmt::format("^{}$", Escaped(part));
      else if (types[part].size() == 1)
        pattern = fmt::format("^blk\\.\\d+\\.{}$", Escaped(part));
      else if (of.size() == 1)
        pattern = fmt::format("^blk\\.{}\\.{}$", of.front(), Escaped(part));
      else
        pattern = fmt::format("^blk\\.({})\\.{}$", fmt::join(of, "|"), Escaped(part));
      rules.push_back(fmt::format("{}={}", pattern, Traits(type).name));
    }
  }
  return rules;
}

TypeSearchResult SearchTypes(const GgufFile& file, const Transformer& model,
                             std::span<const TokenDocument> chunks, const TypeSearchOptions& options,
                             Progress& progress) {
  const std::vector<Candidate> candidates = Candidates(file, options);
  // All tensors as the overrides have them; those to be decided are filled in below.
  const auto decided = ChooseTypes(FindMix("Q8_0"), TensorInfos(file), options.overrides);
  TypeSearchResult result;
  std::int64_t open_bytes = options.bytes, open_elements = 0;
  for (std::size_t i = 0; i < decided.size(); ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    result.tensors.push_back({tensor.name, decided[i].type, tensor.elements(),
                              TensorBytes(decided[i].type, tensor.shape), 0, false});
    open_bytes -= result.tensors.back().bytes;
  }
  for (const Candidate& candidate : candidates) {
    open_bytes += result.tensors[candidate.index].bytes;
    open_elements += result.tensors[candidate.index].elements;
  }
  const double bits = 8.0 * static_cast<double>(open_bytes) / static_cast<double>(open_elements);

  std::vector<SensitivityRequest> requests;
  std::vector<std::vector<TypeOption>> spending;
  std::int64_t smallest = 0, as_is = 0;
  for (const Candidate& candidate : candidates) {
    requests.push_back({candidate.weight, candidate.types, TypesToMeasure(candidate.types, bits)});
    std::vector<TypeOption>& of_tensor = spending.emplace_back();
    for (const Type type : candidate.types)
      of_tensor.push_back({type, TensorBytes(type, file.tensors()[candidate.index].shape), 0});
    smallest += std::ranges::min_element(of_tensor, {}, &TypeOption::bytes)->bytes;
    as_is += std::ssize(file.tensors()[candidate.index].bytes);
  }
  // Better to fail now than after an hour.
  const std::int64_t least = options.bytes - open_bytes + smallest;
  if (options.bytes <= 0) {
    Fail(ErrorKind::kBadOption,
         "{}: the names and the vocabulary alone are {:.2f} MiB larger than the size asked for; the smallest "
         "types{} take {:.2f} MiB more",
         file.path().string(), static_cast<double>(-options.bytes) / 0x1p20,
         options.importance == nullptr ? " that need no importance matrix" : "",
         static_cast<double>(least) / 0x1p20);
  }
  if (smallest > open_bytes) {
    Fail(ErrorKind::kBadOption,
         "{}: {:.2f} MiB for the tensors are too few, the smallest types{} take {:.2f} MiB",
         file.path().string(), static_cast<double>(options.bytes) / 0x1p20,
         options.importance == nullptr ? " that need no importance matrix" : "",
         static_cast<double>(least) / 0x1p20);
  }
  std::vector<std::size_t> chosen;
  if (as_is <= open_bytes) {
    progress.Message(
        fmt::format("{}: the size leaves room for all tensors as they are, so they keep their types",
                    file.path().string()));
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      chosen.push_back(static_cast<std::size_t>(
          std::ranges::find(spending[i], file.tensors()[candidates[i].index].type, &TypeOption::type) -
          spending[i].begin()));
    }
  } else {
    const auto sensitivities = MeasureSensitivity(model, chunks, requests, options.importance, progress);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      for (std::size_t t = 0; t < spending[i].size(); ++t)
        spending[i][t].harm = sensitivities[i].harms[t].divergence;
    }
    chosen = SpendBytes(spending, open_bytes);
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const TypeOption& option = spending[i][chosen[i]];
    ChosenType& tensor = result.tensors[candidates[i].index];
    tensor = {tensor.name, option.type, tensor.elements, option.bytes, option.harm, true};
  }
  for (const ChosenType& tensor : result.tensors) {
    result.bytes += tensor.bytes;
    result.elements += tensor.elements;
    result.divergence += tensor.divergence;
  }
  result.mix = MixName(result.tensors);
  result.rules = DescribeRules(result.tensors);
  return result;
}

}  // namespace longspan
