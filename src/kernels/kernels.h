// The operations that a model is made of, as an interface: the CPU implements it now, another device can.
// Every implementation is tested against ReferenceKernels. No operation's result depends on the number of
// threads. "Added" outputs are accumulated into, all others are overwritten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/attention_views.h"
#include "kernels/byte_moments.h"
#include "tensor/rows.h"
#include "tensor/tensor.h"

namespace longspan {

enum class Store { kSet, kAdd };

// Which two dimensions of a head RoPE rotates together as pair j: 2j and 2j + 1, or j and j + head_dim / 2.
enum class RopePairing { kNeighbours, kHalves };

// One of several products with the same x: y [n, out] = (or +=) x [n, in] W^T, for W {out, in} of any type.
struct Product {
  const Tensor* weight;
  Rows y;
  Store store;
};

struct AdamWStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float correction1, correction2;  // 1 - beta^t
};

class Kernels {
 public:
  virtual ~Kernels() = default;
  virtual std::string name() const = 0;

  // All products of one x [n, in]: what is done to x is done once, and threads share all of the work.
  virtual void MatMuls(ConstRows x, std::span<const Product> products) const = 0;
  void MatMul(ConstRows x, const Tensor& weight, Rows y, Store store) const {
    const Product product{&weight, y, store};
    MatMuls(x, {&product, 1});
  }
  // A weight in the order in which products of few rows read it as one stream: how many bytes that takes, 0
  // where there is no such order for its type or shape, and the packing itself, into `to` of so many bytes,
  // aligned to a cache line, that `owner` keeps alive. MatMuls gives the same bits with it and without.
  virtual std::int64_t PackedBytes(const Tensor& weight) const = 0;
  virtual Packing Pack(const Tensor& weight, std::span<std::byte> to,
                       std::shared_ptr<const void> owner) const = 0;
  // dx [n, in] = dy [n, out] W
  virtual void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const = 0;
  // dw [out, in] added: dy^T [out, n] x [n, in]
  virtual void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const = 0;

  // Causal attention with grouped queries, softmax online (Milakov & Gimelshein 2018; Dao et al. 2022).
  virtual void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const = 0;
  virtual void AttentionBackward(const AttentionShape& shape,
                                 std::span<const AttentionBackwardSequence> sequences) const = 0;
  // An estimate of which KV blocks matter: mass [heads * KeyBlocks::QueryBlocks(n), KV blocks] gets the share
  // of its probability that each head gives to each KV block, averaged over the block of queries. Each row
  // sums to 1. Queries and keys are replaced by the means of kPooledQueries and kPooledKeys neighbours, which
  // costs a small part of all scores; blocks that documents hide from some of the queries may get a share.
  virtual void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, Rows mass) const = 0;

  // Writes n tokens of a sequence into the slots first_slot.. of its pages, counted across all of them from
  // the first page on: k (after RoPE), v [n, kv_heads * head_dim], rotated and rounded to nearest as the
  // layout says. What a type cannot hold becomes the largest that it can. Error(kUnsupported) as
  // KvLayout::RowBytes.
  virtual void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
                       std::span<std::byte* const> pages) const = 0;

  // y = x / rms(x) * weight, row by row (Zhang & Sennrich 2019, eq. 4). y may be x.
  virtual void RmsNorm(ConstRows x, std::span<const float> weight, float epsilon, Rows y) const = 0;
  // dx is added to, because the residual stream also flows past the norm. dweight is added to as well, unless
  // it is empty.
  virtual void RmsNormBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy,
                               Rows dx, std::span<float> dweight) const = 0;

  // Rotates pair j of each head of row i by the angle whose cosine and sine are cos[i][j], sin[i][j] (Su et
  // al. 2021, eq. 34). `inverse` rotates back, which is the backward pass.
  virtual void Rope(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
                    bool inverse) const = 0;

  // y = silu(gate) * up (Shazeer 2020). y may be gate.
  virtual void SwiGlu(ConstRows gate, ConstRows up, Rows y) const = 0;
  // dgate may be gate, dup may be up or dy.
  virtual void SwiGluBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) const = 0;

  // Negative log likelihood of each row's target, nats; 0 where the target is negative (ignored).
  virtual void CrossEntropy(ConstRows logits, std::span<const std::int32_t> targets,
                            std::span<double> losses) const = 0;
  // The same, and logits become their own gradient: (softmax - one_hot) * scale, zero where ignored.
  virtual void CrossEntropyBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                                    std::span<double> losses) const = 0;

  virtual void Add(ConstRows x, Rows y) const = 0;                 // y += x
  virtual void Scale(float factor, std::span<float> x) const = 0;  // x *= factor
  virtual double SumOfSquares(std::span<const float> x) const = 0;

  // One step of AdamW (Loshchilov & Hutter 2019, algorithm 2).
  virtual void AdamW(const AdamWStep& step, std::span<const float> gradient, std::span<float> m,
                     std::span<float> v, std::span<float> parameter) const = 0;
  // The same with moments in bytes: decoded, changed, and rounded again with new scales.
  virtual void AdamWInBytes(const AdamWStep& step, std::span<const float> gradient,
                            const ByteMoments& moments, std::span<float> parameter) const = 0;
};

// The oracle: plain loops, one thread.
const Kernels& ReferenceKernels();

// What products and attention may do with activations: nothing, or round them.
//
// kInt8, for inference: quantised weights meet activations rounded to 8 bits in blocks of 32 (kernels/int8/).
// This is several times as fast, and shifts a product about as little as Q8_0 weights do. The tile unit
// rounds to BF16 instead (kernels/bf16/): products of many rows with any weight, and attention of many
// queries. So do vectors that multiply BF16, with weights of floats and caches of F16 or BF16. Gradients are
// exact.
//
// kBf16, for training: where HasBf16, products of many rows and attention of many queries, and the gradients
// of both, round their operands to BF16 and sum in F32. Elsewhere all is exact.
enum class Activations { kExact, kInt8, kBf16 };

// Whether the instruction set, or "auto", multiplies BF16.
bool HasBf16(std::string_view isa);

// Kernels by instruction set: "auto" (the best that this machine has), "reference", "avx2", "avx512", "amx".
// The reference is always exact. Error(kBadOption) for a name that is unknown or that this machine lacks.
const Kernels& ChooseKernels(std::string_view isa, Activations activations = Activations::kExact);

// Names that ChooseKernels accepts on this machine, best first, without "auto".
std::vector<std::string> AvailableKernels();

}  // namespace longspan
