// y = W x + b + s B A dropout(x): the one place where a weight of any type, an optional low-rank adapter and
// the arithmetic meet. Inference with an unmerged adapter, LoRA on a float base and LoRA on a quantised base
// are all this.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

// A low-rank adapter of one Linear (Hu et al. 2021, section 4.1). `scale` is alpha / r, or alpha / sqrt(r)
// where rank stabilised (Kalajdzievski 2023).
struct Adapter {
  Tensor a;  // {r, in}, F32
  Tensor b;  // {out, r}, F32
  float scale = 1.0f;
  float dropout = 0.0f;      // of the adapter's input, in training only
  std::uint64_t stream = 0;  // tells this adapter's dropout from the others'
};

struct Linear {
  Tensor weight;  // {out, in}
  const Adapter* adapter = nullptr;
  std::span<const float> bias = {};  // [out] or empty; frozen
};

// What a backward pass adds to. Views without data belong to frozen parameters.
struct LinearGradient {
  Rows weight;  // [out, in]
  Rows a, b;
};

// Which dropout masks a pass draws: none, or those of one training step. A recomputed forward pass and the
// backward pass draw the same.
struct DropoutStep {
  bool active = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

// Memory that layers use beside their results. What stands in it means nothing; kept from one layer to the
// next, it is taken from the system once.
struct LinearWorkspace {
  Matrix input, inner, dinput;
};

// y [n, out] = (or +=) the layer's output for x [n, in].
void LinearForward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout, ConstRows x,
                   Rows y, Store store, LinearWorkspace& workspace);

// Several layers of one input, y [n, out] = each one's output.
struct LinearOutput {
  const Linear& linear;
  Rows y;
};
void LinearsForward(const Kernels& kernels, std::span<const LinearOutput> layers, const DropoutStep& dropout,
                    ConstRows x, LinearWorkspace& workspace);

// dx [n, in] = (or +=) the gradient with respect to x; parameters' gradients are added to. The adapter's
// inner activation is computed again rather than kept, which costs only r / out of the layer's own product.
void LinearBackward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout, ConstRows x,
                    ConstRows dy, Rows dx, Store store, const LinearGradient& gradient,
                    LinearWorkspace& workspace);

// The same for a single layer, with memory of their own.
inline void LinearForward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout,
                          ConstRows x, Rows y, Store store) {
  LinearWorkspace workspace;
  LinearForward(kernels, linear, dropout, x, y, store, workspace);
}
inline void LinearBackward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout,
                           ConstRows x, ConstRows dy, Rows dx, Store store, const LinearGradient& gradient) {
  LinearWorkspace workspace;
  LinearBackward(kernels, linear, dropout, x, dy, dx, store, gradient, workspace);
}

}  // namespace longspan
