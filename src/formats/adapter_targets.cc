#include "formats/adapter_targets.h"

#include <cmath>
#include <set>

#include "base/error.h"

namespace longspan {

namespace {

bool IsTarget(WeightId id, const LlamaConfig& config) {
  const PartTraits& traits = Traits(id.part);
  return traits.kind == PartKind::kMatrix &&
         (traits.in_layer ? id.layer >= 0 && id.layer < config.layers : id.layer == -1);
}

}  // namespace

std::vector<WeightId> AdapterTargets(const LlamaConfig& config) {
  std::vector<WeightId> targets;
  const auto add = [&](std::int64_t layer) {
    for (const PartTraits& traits : AllParts()) {
      if (traits.kind == PartKind::kMatrix && traits.in_layer == (layer >= 0))
        targets.push_back({layer, traits.part});
    }
  };
  for (std::int64_t layer = 0; layer < config.layers; ++layer) add(layer);
  add(-1);
  return targets;
}

std::vector<LoraAdapter::Pair> CollectPairs(std::map<WeightId, LoraAdapter::Pair>& found,
                                            const LlamaConfig& config, const std::string& where) {
  std::vector<LoraAdapter::Pair> pairs;
  for (const WeightId target : AdapterTargets(config)) {
    const auto it = found.find(target);
    if (it == found.end()) continue;
    if (it->second.a.empty() || it->second.b.empty()) {
      Fail(ErrorKind::kInvalidFile, "{}: {} has only one of its two matrices", where, Name(target));
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
  std::set<WeightId> seen;
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const std::string name = Name(pair.target);
    if (!IsTarget(pair.target, config)) {
      Fail(ErrorKind::kInvalidFile, "{}: {} is not a projection of a model of {} layers", where, name,
           config.layers);
    }
    if (pair.target.part == Part::kOutput && config.tied_embeddings) {
      Fail(ErrorKind::kUnsupported, "{}: adapts lm_head, which in this model is the embedding", where);
    }
    if (!seen.insert(pair.target).second) Fail(ErrorKind::kInvalidFile, "{}: {} appears twice", where, name);
    const PartTraits& traits = Traits(pair.target.part);
    const auto check = [&](const Tensor& t, std::int64_t rows, std::int64_t cols, char which) {
      if (t.shape().size() == 2 && t.rows() == rows && t.cols() == cols && t.type() == Type::kF32) return;
      Fail(ErrorKind::kInvalidFile, "{}: {} of {} is {} x {} {}, expected {} x {} F32", where, which, name,
           t.rows(), t.cols(), Traits(t.type()).name, rows, cols);
    };
    check(pair.a, adapter.rank, traits.cols(config), 'A');
    check(pair.b, traits.rows(config), adapter.rank, 'B');
  }
}

}  // namespace longspan
