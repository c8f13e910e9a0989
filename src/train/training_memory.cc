#include "train/training_memory.h"

#include <algorithm>

#include "kernels/byte_moments.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

constexpr std::int64_t kFloat = 4;
constexpr std::int64_t kLossRows = 256;  // of logits that exist at a time (nn/cross_entropy.cc)

}  // namespace

std::int64_t TotalBytes(const std::vector<MemoryPart>& parts) {
  std::int64_t bytes = 0;
  for (const MemoryPart& part : parts) bytes += part.bytes;
  return bytes;
}

std::int64_t TrainedParameters(const LlamaConfig& config, const TrainOptions& options) {
  if (options.adapter == AdapterKind::kFull) return config.Parameters();
  std::int64_t of_layer = 0;
  for (const Part target : options.TargetParts())
    of_layer += options.rank * (Traits(target).rows(config) + Traits(target).cols(config));
  std::int64_t layers = 0;
  for (std::int64_t i = 0; i < config.layers; ++i) layers += options.Adapts(i);
  return layers * of_layer;
}

// Small parameters, which keep theirs in F32, do not count here.
std::int64_t MomentBytes(const LlamaConfig& c, const TrainOptions& options) {
  const std::int64_t trained = TrainedParameters(c, options);
  if (options.optimizer == OptimizerKind::kAdamW) return 2 * trained * kFloat;
  const std::int64_t embedding = options.adapter == AdapterKind::kFull ? c.vocab_size * c.dim : 0;
  return 2 * embedding * kFloat + 2 * (trained - embedding) + 2 * MomentBlocks(trained - embedding) * kFloat;
}

std::vector<MemoryPart> TrainingMemory(const LlamaConfig& c, const TrainOptions& options, std::int64_t length,
                                       int threads) {
  const bool full = options.adapter == AdapterKind::kFull;
  const std::int64_t rows = options.batch_size * length, trained = TrainedParameters(c, options);
  const std::int64_t kept_layers = options.recompute ? 1 : c.layers;
  // BlockActivations holds normed, middle and mlp_normed; q and the output of attention; k and v; three
  // matrices of the MLP; and a number for each query and head, for the softmax.
  const std::int64_t activations =
      rows * (3 * c.dim + 2 * c.q_dim() + 2 * c.kv_dim() + 3 * c.hidden_dim + c.heads);
  // The gradients of BlockBackward all live until it ends. The linear layers of an adapter need some memory
  // more.
  std::int64_t backward = rows * (2 * c.hidden_dim + c.dim + 2 * c.q_dim() + 2 * c.kv_dim());
  if (!full) {
    std::int64_t widest = 0;
    for (const Part target : options.TargetParts()) widest = std::max(widest, Traits(target).cols(c));
    backward += rows * (options.rank + (options.dropout > 0 ? 2 * widest : 0));
  }
  // In the backward pass of attention, each task sums the gradients of the keys and values of one head.
  backward += threads * 2 * length * c.head_dim * 2;
  // The LM head needs the hidden states, their gradient, and a chunk of logits.
  const std::int64_t head = rows * 2 * c.dim + std::min(kLossRows, rows) * c.vocab_size;

  std::vector<MemoryPart> parts;
  parts.push_back({full ? "weights in F32" : "the adapter", trained * kFloat});
  parts.push_back({"gradients", trained * kFloat});
  parts.push_back({"AdamW's two moments", MomentBytes(c, options)});
  parts.push_back({"layers' inputs, kept for the way back", c.layers * rows * c.dim * kFloat});
  parts.push_back({options.recompute ? "activations of one layer" : "activations of all layers",
                   kept_layers * activations * kFloat});
  parts.push_back(
      {"the residual stream, its gradient and rotations", rows * (2 * c.dim + c.head_dim) * kFloat});
  parts.push_back({"the larger of one layer's gradients and the logits", std::max(backward, head) * kFloat});
  return parts;
}

}  // namespace longspan
