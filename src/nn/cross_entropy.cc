#include "nn/cross_entropy.h"

#include <algorithm>
#include <vector>

namespace longspan {
namespace {

// Rows of logits that exist at once: enough to feed the products, 128 MB at a vocabulary of 128k.
constexpr std::int64_t kChunk = 256;

// Calls visit(first, logits, targets, losses) chunk by chunk and adds the losses up.
template <class Visit>
Loss ForChunks(const Kernels& kernels, ConstRows hidden, const Tensor& head,
               std::span<const std::int32_t> targets, std::span<double> all_losses, Visit&& visit) {
  Loss loss;
  Matrix storage(std::min(kChunk, hidden.rows), head.rows());
  std::vector<double> losses(static_cast<std::size_t>(storage.rows()));
  for (std::int64_t first = 0; first < hidden.rows; first += kChunk) {
    const std::int64_t count = std::min(kChunk, hidden.rows - first);
    const Rows logits = Rows(storage).Slice(0, count);
    const auto chunk_targets = targets.subspan(first, count);
    const std::span<double> chunk_losses = std::span(losses).first(count);
    kernels.MatMul(hidden.Slice(first, count), head, logits, Store::kSet);
    visit(first, logits, chunk_targets, chunk_losses);
    for (std::size_t i = 0; i < chunk_losses.size(); ++i) {
      loss.sum += chunk_losses[i];
      loss.tokens += chunk_targets[i] >= 0;
    }
    if (!all_losses.empty()) std::ranges::copy(chunk_losses, all_losses.begin() + first);
  }
  return loss;
}

}  // namespace

Loss CrossEntropyForward(const Kernels& kernels, ConstRows hidden, const Tensor& head,
                         std::span<const std::int32_t> targets, std::span<double> losses) {
  return ForChunks(
      kernels, hidden, head, targets, losses,
      [&](std::int64_t, Rows logits, auto chunk, auto out) { kernels.CrossEntropy(logits, chunk, out); });
}

Loss CrossEntropyBackward(const Kernels& kernels, ConstRows hidden, const Tensor& head,
                          std::span<const std::int32_t> targets, float scale, Rows dhidden, Rows dhead) {
  return ForChunks(
      kernels, hidden, head, targets, {}, [&](std::int64_t first, Rows logits, auto chunk, auto out) {
        kernels.CrossEntropyBackward(logits, chunk, scale, out);
        kernels.MatMulInputGradient(logits, head, dhidden.Slice(first, logits.rows), Store::kSet);
        if (dhead.data != nullptr)
          kernels.MatMulWeightGradient(logits, hidden.Slice(first, logits.rows), dhead);
      });
}

}  // namespace longspan
