#include "formats/gguf_adapter.h"

#include <cmath>
#include <map>

#include "base/error.h"
#include "formats/adapter_targets.h"
#include "formats/byte_reader.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

Tensor ToFloat(const Tensor& tensor) { return tensor.type() == Type::kF32 ? tensor : tensor.ToF32(); }

// A target's pair as GGUF stores it. The embedding's is PEFT's with A transposed: lora_a is A^T [vocabulary,
// rank] and lora_b is B [dim, rank].
struct StoredPair {
  Tensor a, b;
};
StoredPair Stored(const LoraAdapter::Pair& pair) {
  if (pair.target.part == Part::kEmbedding) return {pair.b, Transposed(pair.a)};
  return {pair.a, pair.b};
}
LoraAdapter::Pair Ours(WeightId target, const Tensor& a, const Tensor& b) {
  if (target.part == Part::kEmbedding)
    return {target, b.empty() ? Tensor() : Transposed(ToFloat(b)), ToFloat(a)};
  return {target, ToFloat(a), ToFloat(b)};
}

}  // namespace

void WriteGgufAdapter(const std::filesystem::path& path, const LoraAdapter& adapter,
                      Architecture architecture) {
  const double stabilised = adapter.rslora ? std::sqrt(static_cast<double>(adapter.rank)) : 1.0;
  const auto alpha = static_cast<float>(adapter.alpha * stabilised);
  if (alpha == 0) {
    Fail(ErrorKind::kUnsupported,
         "{}: an adapter of alpha 0 does nothing, but GGUF's readers take 0 for a scale of one",
         path.string());
  }
  GgufMetadata metadata;
  metadata.Set("general.architecture", std::string(Name(architecture)));
  metadata.Set("general.type", "adapter");
  if (!adapter.base_model.empty()) metadata.Set("general.base_model.0.name", adapter.base_model);
  metadata.Set("adapter.type", "lora");
  metadata.Set("adapter.lora.alpha", alpha);
  GgufWriter writer(path, metadata);
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const StoredPair stored = Stored(pair);
    writer.Declare(GgufName(pair.target) + ".lora_a", Type::kF32, stored.a.shape());
    writer.Declare(GgufName(pair.target) + ".lora_b", Type::kF32, stored.b.shape());
  }
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const StoredPair stored = Stored(pair);
    writer.Write(GgufName(pair.target) + ".lora_a", stored.a.bytes());
    writer.Write(GgufName(pair.target) + ".lora_b", stored.b.bytes());
  }
  writer.Commit();
}

LoraAdapter ReadGgufAdapter(const std::filesystem::path& path, const LlamaConfig& config) {
  const auto file = GgufFile::Open(path);
  const std::string where = path.string();
  if (file->Get<std::string>("general.type") != "adapter" ||
      file->Get<std::string>("adapter.type") != "lora") {
    Fail(ErrorKind::kUnsupported, "{}: not a LoRA adapter", where);
  }
  const auto architecture = file->Find<std::string>("general.architecture");
  if (architecture && *architecture != Name(config.architecture)) {
    Fail(ErrorKind::kUnsupported, "{}: adapts the architecture '{}', the model is a {}", where,
         Printable(*architecture), Name(config.architecture));
  }
  if (file->metadata().Contains("adapter.alora.invocation_tokens")) {
    Fail(ErrorKind::kUnsupported, "{}: an activated LoRA, which takes effect only after certain tokens",
         where);
  }
  LoraAdapter adapter;
  adapter.base_model = file->Find<std::string>("general.base_model.0.name").value_or("");
  std::map<WeightId, LoraAdapter::Pair> found;
  std::size_t used = 0;
  for (const WeightId target : AdapterTargets(config)) {
    const std::string name = GgufName(target);
    const Tensor a = file->LoadTensor(name + ".lora_a"), b = file->LoadTensor(name + ".lora_b");
    if (a.empty() && b.empty()) continue;
    used += 2;
    const auto it = found.emplace(target, Ours(target, a, b)).first;
    adapter.rank = it->second.a.rows();
  }
  adapter.pairs = CollectPairs(found, config, where);
  if (used != file->tensors().size()) {
    Fail(ErrorKind::kUnsupported, "{}: {} tensors, of which {} adapt projections of this model", where,
         file->tensors().size(), used);
  }
  // llama.cpp takes an alpha of 0, or a missing one, to mean a scale of one.
  adapter.alpha = file->Find<double>("adapter.lora.alpha").value_or(0);
  if (adapter.alpha == 0) adapter.alpha = static_cast<double>(adapter.rank);
  ValidateAdapter(adapter, config, where);
  return adapter;
}

}  // namespace longspan
