// The LM head and the loss behind it, in row chunks: whole logits never exist.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

struct Loss {
  double sum = 0;           // of negative log likelihoods, nats
  std::int64_t tokens = 0;  // that were scored
  double mean() const { return tokens > 0 ? sum / static_cast<double>(tokens) : 0; }
  Loss& operator+=(const Loss& other) {
    sum += other.sum;
    tokens += other.tokens;
    return *this;
  }
};

// The loss of predicting targets[i] (negative: not scored) from hidden [n, dim] by `head` {vocab, dim}. If
// `losses` is not empty, it gets each row's loss.
Loss CrossEntropyForward(const Kernels& kernels, ConstRows hidden, const Tensor& head,
                         std::span<const std::int32_t> targets, std::span<double> losses = {});

// The same, with gradients times `scale`: dhidden [n, dim] is overwritten, dhead [vocab, dim] added to (no
// data: frozen).
Loss CrossEntropyBackward(const Kernels& kernels, ConstRows hidden, const Tensor& head,
                          std::span<const std::int32_t> targets, float scale, Rows dhidden, Rows dhead);

}  // namespace longspan
