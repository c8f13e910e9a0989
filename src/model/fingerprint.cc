#include "model/fingerprint.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/parallel.h"
#include "model/linears.h"

namespace longspan {
namespace {

void AddConfig(const LlamaConfig& c, Hash64& hash) {
  for (const std::int64_t n : {c.vocab_size, c.dim, c.layers, c.heads, c.kv_heads, c.head_dim, c.hidden_dim})
    hash.Add(n);
  hash.Add(c.norm_epsilon);
  hash.Add(c.architecture);  // which says what RoPE pairs
  hash.Add(c.sliding_window);
}

// Adds the frequencies themselves, because they rotated the keys, whatever they were computed from.
void AddRope(const RopeFrequencies& rope, Hash64& hash) {
  for (const double x : rope.inverse) hash.Add(x);
  hash.Add(rope.magnitude);
}

void AddTensor(const Tensor& tensor, Hash64& hash) {
  constexpr std::size_t kSamples = 64, kSample = 64;  // a cache line each
  hash.Add(tensor.type());
  for (const std::int64_t n : tensor.shape()) hash.Add(n);
  const std::span<const std::byte> bytes = tensor.bytes();
  if (bytes.size() <= kSamples * kSample) return hash.Update(bytes);
  for (std::size_t i = 0; i < kSamples; ++i) {
    hash.Update(bytes.subspan((bytes.size() - kSample) / (kSamples - 1) * i, kSample));
  }
}

void AddLinear(const Linear& linear, Hash64& hash) {
  AddTensor(linear.weight, hash);
  hash.Update(std::as_bytes(linear.bias));
  if (linear.adapter == nullptr) return;
  AddTensor(linear.adapter->a, hash);
  AddTensor(linear.adapter->b, hash);
  hash.Add(linear.adapter->scale);
}

}  // namespace

std::uint64_t Fingerprint(const Transformer& model) {
  Hash64 hash;
  AddConfig(model.config(), hash);
  AddRope(model.rope(), hash);
  AddLinear(model.embedding(), hash);
  for (const Block& block : model.blocks()) {
    hash.Update(std::as_bytes(block.attention_norm));
    hash.Update(std::as_bytes(block.mlp_norm));
    for (const LinearPart& l : kLinears) AddLinear(block.*l.linear, hash);
  }
  return hash.value();
}

std::uint64_t Fingerprint(const LlamaConfig& config, const Weights& weights) {
  struct Hashed {
    std::string name;
    const Tensor* tensor;
    std::uint64_t hash = 0;
  };
  std::vector<Hashed> parts{{"rope_factors", &weights.rope_factors}};
  const bool tied = weights.output.bytes().data() == weights.embedding.bytes().data();
  ForEachTensor(weights, tied, [&](WeightId id, const Tensor& tensor) {
    parts.push_back({Name(id), &tensor});
  });
  ParallelFor(std::ssize(parts), [&](std::int64_t i) {
    Hash64 hash;
    hash.Update(parts[i].tensor->bytes());
    parts[i].hash = hash.value();
  });
  Hash64 hash;
  AddConfig(config, hash);
  for (const Hashed& part : parts) {
    hash.Update(part.name);
    hash.Add(part.tensor->type());
    for (const std::int64_t n : part.tensor->shape()) hash.Add(n);
    hash.Add(part.hash);
  }
  return hash.value();
}

}  // namespace longspan
