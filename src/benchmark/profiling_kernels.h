// Where the time of a model's passes goes.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "base/parallel.h"
#include "benchmark/seconds.h"
#include "kernels/kernels.h"
#include "model/weights.h"

namespace longspan {

// The parts of a pass in its order. Adapters are the products of their matrices, with the scaling and the
// biases; the rest is what lies between the operations of Kernels: the embedding's rows, RoPE's angles,
// copies.
enum class PassPart {
  kNorms,
  kQkv,
  kRope,
  kStoreKv,
  kAttention,
  kAttentionOutput,
  kGateUp,
  kSwiGlu,
  kDown,
  kLogits,
  kAdapters,
  kRest,
};
inline constexpr std::size_t kPassParts = static_cast<std::size_t>(PassPart::kRest) + 1;

std::string_view Name(PassPart part);  // "q, k, v"

struct PartTime {
  PassPart part;
  double seconds = 0;
  double one_thread = 0;  // of these, the seconds outside of loops that several threads share
};

// Forwards every operation to other kernels, and adds up the time that the calling thread spends in each
// part. Only one thread at a time may use it.
class ProfilingKernels final : public Kernels {
 public:
  // Products are told apart by their weights.
  ProfilingKernels(const Kernels& kernels, const Weights& weights);

  // Runs `work` and returns the time of every part that took any. The seconds add up to those of `work`.
  std::vector<PartTime> Profile(FunctionRef<void()> work);

  std::string name() const override { return kernels_.name(); }
  void MatMuls(ConstRows x, std::span<const Product> products) const override {
    Time(PartOf(*products.front().weight), [&] { kernels_.MatMuls(x, products); });
  }
  std::int64_t PackedBytes(const Tensor& weight) const override { return kernels_.PackedBytes(weight); }
  Packing Pack(const Tensor& weight, std::span<std::byte> to,
               std::shared_ptr<const void> owner) const override {
    return kernels_.Pack(weight, to, std::move(owner));
  }
  void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const override {
    Time(PassPart::kAdapters, [&] { kernels_.MatMulInputGradient(dy, weight, dx, store); });
  }
  void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const override {
    kernels_.MatMulWeightGradient(dy, x, dw);
  }
  void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const override {
    Time(PassPart::kAttention, [&] { kernels_.Attention(shape, sequences); });
  }
  void AttentionBackward(const AttentionShape& shape,
                         std::span<const AttentionBackwardSequence> sequences) const override {
    kernels_.AttentionBackward(shape, sequences);
  }
  void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, Rows mass) const override {
    Time(PassPart::kAttention, [&] { kernels_.KeyBlockMass(shape, s, mass); });
  }
  void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
               std::span<std::byte* const> pages) const override {
    Time(PassPart::kStoreKv, [&] { kernels_.StoreKv(layout, k, v, first_slot, pages); });
  }
  void RmsNorm(ConstRows x, std::span<const float> weight, float epsilon, Rows y) const override {
    Time(PassPart::kNorms, [&] { kernels_.RmsNorm(x, weight, epsilon, y); });
  }
  void RmsNormBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy, Rows dx,
                       std::span<float> dweight) const override {
    kernels_.RmsNormBackward(x, weight, epsilon, dy, dx, dweight);
  }
  void Rope(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
            bool inverse) const override {
    Time(PassPart::kRope, [&] { kernels_.Rope(x, head_dim, pairing, cos, sin, inverse); });
  }
  void SwiGlu(ConstRows gate, ConstRows up, Rows y) const override {
    Time(PassPart::kSwiGlu, [&] { kernels_.SwiGlu(gate, up, y); });
  }
  void SwiGluBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) const override {
    kernels_.SwiGluBackward(gate, up, dy, dgate, dup);
  }
  void CrossEntropy(ConstRows logits, std::span<const std::int32_t> targets,
                    std::span<double> losses) const override {
    kernels_.CrossEntropy(logits, targets, losses);
  }
  void CrossEntropyBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                            std::span<double> losses) const override {
    kernels_.CrossEntropyBackward(logits, targets, scale, losses);
  }
  void Add(ConstRows x, Rows y) const override {
    Time(PassPart::kAdapters, [&] { kernels_.Add(x, y); });
  }
  void Scale(float factor, std::span<float> x) const override {
    Time(PassPart::kAdapters, [&] { kernels_.Scale(factor, x); });
  }
  double SumOfSquares(std::span<const float> x) const override { return kernels_.SumOfSquares(x); }
  void AdamW(const AdamWStep& step, std::span<const float> gradient, std::span<float> m, std::span<float> v,
             std::span<float> parameter) const override {
    kernels_.AdamW(step, gradient, m, v, parameter);
  }
  void AdamWInBytes(const AdamWStep& step, std::span<const float> gradient, const ByteMoments& moments,
                    std::span<float> parameter) const override {
    kernels_.AdamWInBytes(step, gradient, moments, parameter);
  }

 private:
  // A product belongs to the part of the first of its weights.
  PassPart PartOf(const Tensor& weight) const;

  template <class Operation>
  void Time(PassPart part, Operation&& operation) const {
    if (!watch_) return operation();
    const double shared_before = watch_->seconds();
    const double seconds = SecondsOf(operation);
    PartTime& time = times_[static_cast<std::size_t>(part)];
    time.seconds += seconds;
    time.one_thread += seconds - (watch_->seconds() - shared_before);
  }

  const Kernels& kernels_;
  std::unordered_map<const std::byte*, PassPart> part_of_;  // by the weight's first byte
  std::optional<ParallelStopwatch> watch_;                  // while Profile runs
  mutable std::array<PartTime, kPassParts> times_;
};

}  // namespace longspan
