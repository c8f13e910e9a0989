#include "formats/adapter_targets.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {

std::optional<WeightId> ParseAdapterTarget(std::string_view name) {
  const std::optional<WeightId> id = ParseWeightId(name);
  return id && Traits(id->part).kind == PartKind::kMatrix ? id : std::nullopt;
}

std::vector<std::string> AdapterTargets(const LlamaConfig& config) {
  std::vector<std::string> targets;
  const auto add = [&](std::int64_t layer) {
    for (const PartTraits& traits : AllParts()) {
      if (traits.kind == PartKind::kMatrix && traits.in_layer == (layer >= 0))
        targets.push_back(Name(WeightId{layer, traits.part}));
    }
  };
  for (std::int64_t layer = 0; layer < config.layers; ++layer) add(layer);
  add(-1);
  return targets;
}

std::pair<std::int64_t, std::int64_t> AdapterMeasures(const LlamaConfig& config, std::string_view target) {
  const PartTraits& traits = Traits(WeightNamed(target).part);
  return {traits.rows(config), traits.cols(config)};
}

std::vector<LoraAdapter::Pair> CollectPairs(std::map<std::string, LoraAdapter::Pair>& found,
                                            const LlamaConfig& config, const std::string& where) {
  std::vector<LoraAdapter::Pair> pairs;
  for (const std::string& target : AdapterTargets(config)) {
    const auto it = found.find(target);
    if (it == found.end()) continue;
    if (it->second.a.empty() || it->second.b.empty()) {
      Fail(ErrorKind::kInvalidFile, "{}: {} has only one of its two matrices", where, target);
    }
    pairs.push_back({target, std::move(it->second.a), std::move(it->second.b)});
  }
  return pairs;
}

void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where) {
  if (adapter.rank < 1 || adapter.rank > kMaxAdapterRank) {
    Fail(ErrorKind::kInvalidFile, "{}: rank {}, expected 1 to {}", where, adapter.rank, kMaxAdapterRank);
  }
  if (!std::isfinite(adapter.alpha))
    Fail(ErrorKind::kInvalidFile, "{}: alpha is {}, expected a finite number", where, adapter.alpha);
  if (adapter.pairs.empty()) Fail(ErrorKind::kInvalidFile, "{}: an adapter without tensors", where);
  std::set<std::string_view> seen;
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const auto target = ParseAdapterTarget(pair.target);
    if (!target || target->layer >= config.layers) {
      Fail(ErrorKind::kInvalidFile, "{}: {} is not a projection of a model of {} layers", where,
           Printable(pair.target), config.layers);
    }
    if (pair.target == "output" && config.tied_embeddings) {
      Fail(ErrorKind::kUnsupported, "{}: adapts lm_head, which in this model is the embedding", where);
    }
    if (!seen.insert(pair.target).second)
      Fail(ErrorKind::kInvalidFile, "{}: {} appears twice", where, pair.target);
    const auto [out, in] = AdapterMeasures(config, pair.target);
    const auto check = [&](const Tensor& t, std::int64_t rows, std::int64_t cols, char which) {
      if (t.shape().size() == 2 && t.rows() == rows && t.cols() == cols && t.type() == Type::kF32) return;
      Fail(ErrorKind::kInvalidFile, "{}: {} of {} is {} x {} {}, expected {} x {} F32", where, which,
           pair.target, t.rows(), t.cols(), Traits(t.type()).name, rows, cols);
    };
    check(pair.a, adapter.rank, in, 'A');
    check(pair.b, out, adapter.rank, 'B');
  }
}

}  // namespace longspan
