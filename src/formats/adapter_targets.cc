#include "formats/adapter_targets.h"

#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

struct Known {
  std::string_view name;
  AdapterTarget target;
};
constexpr std::array<Known, 7> kProjections{{{"q", {0, "q_proj", "self_attn", true}},
                                             {"k", {0, "k_proj", "self_attn", true}},
                                             {"v", {0, "v_proj", "self_attn", false}},
                                             {"o", {0, "o_proj", "self_attn", false}},
                                             {"gate", {0, "gate_proj", "mlp", false}},
                                             {"up", {0, "up_proj", "mlp", false}},
                                             {"down", {0, "down_proj", "mlp", false}}}};
constexpr std::array<Known, 2> kOthers{
    {{"embedding", {-1, "embed_tokens", "", false}}, {"output", {-1, "lm_head", "", false}}}};
constexpr std::string_view kLayers = "layers.";

}  // namespace

std::optional<AdapterTarget> AdapterTarget::Parse(std::string_view name) {
  for (const Known& known : kOthers) {
    if (known.name == name) return known.target;
  }
  if (!name.starts_with(kLayers)) return std::nullopt;
  name.remove_prefix(kLayers.size());
  std::int32_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || layer < 0 || end == name.data() + name.size() || *end != '.')
    return std::nullopt;
  name.remove_prefix(static_cast<std::size_t>(end - name.data()) + 1);
  for (const Known& known : kProjections) {
    if (known.name != name) continue;
    AdapterTarget target = known.target;
    target.layer = layer;
    return target;
  }
  return std::nullopt;
}

std::string AdapterTarget::HfModule() const {
  if (layer >= 0) return fmt::format("model.layers.{}.{}.{}", layer, block, module);
  return IsEmbedding() ? fmt::format("model.{}", module) : std::string(module);
}

std::vector<std::string> AdapterTargets(const LlamaConfig& config) {
  std::vector<std::string> targets;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Known& p : kProjections) targets.push_back(fmt::format("{}{}.{}", kLayers, layer, p.name));
  }
  for (const Known& known : kOthers) targets.emplace_back(known.name);
  return targets;
}

std::pair<std::int64_t, std::int64_t> AdapterMeasures(const LlamaConfig& c, std::string_view target) {
  if (target == "embedding" || target == "output") return {c.vocab_size, c.dim};
  const std::string_view projection = target.substr(target.rfind('.') + 1);
  if (projection == "q") return {c.q_dim(), c.dim};
  if (projection == "k" || projection == "v") return {c.kv_dim(), c.dim};
  if (projection == "o") return {c.dim, c.q_dim()};
  if (projection == "down") return {c.dim, c.hidden_dim};
  return {c.hidden_dim, c.dim};
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
  if (!std::isfinite(adapter.alpha)) Fail(ErrorKind::kInvalidFile, "{}: alpha is {}", where, adapter.alpha);
  if (adapter.pairs.empty()) Fail(ErrorKind::kInvalidFile, "{}: an adapter without tensors", where);
  std::set<std::string_view> seen;
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const auto target = AdapterTarget::Parse(pair.target);
    if (!target || target->layer >= config.layers) {
      Fail(ErrorKind::kInvalidFile, "{}: {} is no projection of a model of {} layers", where,
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
