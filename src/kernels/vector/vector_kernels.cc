#include "kernels/vector/vector_kernels.h"

#include <utility>
#include <vector>

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vector/vector_kernels.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include "kernels/int8/attention.h"
#include "kernels/int8/int8_products.h"
#include "kernels/vector/adamw-inl.h"
#include "kernels/vector/attention-inl.h"
#include "kernels/vector/attention_backward-inl.h"
#include "kernels/vector/key_block_mass-inl.h"
#include "kernels/vector/kv-inl.h"
#include "kernels/vector/matmul-inl.h"
#include "kernels/vector/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

class Implementation : public Kernels {
 public:
  // `int8` multiplies quantised weights by rounded activations, and `int8_attention` attends to quantised
  // pages with them. Null for exact ones.
  Implementation(const Int8Products* int8, const Int8Attention* int8_attention)
      : int8_(int8), int8_attention_(int8_attention) {}

  std::string name() const override { return hwy::TargetName(HWY_TARGET); }

  void MatMuls(ConstRows x, std::span<const Product> products) const override {
    std::vector<Product> rounding;
    for (const Product& p : products) {
      if (Rounds(*p.weight))
        rounding.push_back(p);
      else
        ExactMatMul(x, p);
    }
    if (rounding.empty() || x.rows == 0) return;
    static thread_local RoundedRows rounded;
    int8_->round(x, rounded);
    int8_->mat_muls(rounded, rounding);
  }
  std::int64_t PackedBytes(const Tensor& weight) const override {
    return Rounds(weight) ? int8_->packed_bytes(weight) : 0;
  }
  Packing Pack(const Tensor& weight, std::span<std::byte> to,
               std::shared_ptr<const void> owner) const override {
    return int8_->pack(weight, to, std::move(owner));
  }
  void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const override {
    PackedProduct({dy.data, dy.stride, 1}, dy.rows, WeightAsRows(weight), dx, store == Store::kAdd);
  }
  void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const override {
    PackedProduct({dy.data, 1, dy.stride}, dy.cols, FloatRows(x), dw, true);
  }
  void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const override {
    if (int8_attention_ == nullptr) return AttentionForward<FloatArithmetic>(shape, sequences);
    std::vector<AttentionSequence> codes, floats;
    for (const AttentionSequence& s : sequences)
      (int8_attention_->supports(shape, s) ? codes : floats).push_back(s);
    if (!codes.empty()) int8_attention_->attention(shape, codes);
    if (!floats.empty()) AttentionForward<FloatArithmetic>(shape, floats);
  }
  void AttentionBackward(const AttentionShape& shape,
                         std::span<const AttentionBackwardSequence> sequences) const override {
    HWY_NAMESPACE::AttentionBackward(shape, sequences);
  }
  void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, Rows mass) const override {
    KeyBlockMassOf(shape, s, mass);
  }
  void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
               std::span<std::byte* const> pages) const override {
    StoreKvRows(layout, k, v, first_slot, pages);
  }
  void RmsNorm(ConstRows x, std::span<const float> weight, float epsilon, Rows y) const override {
    RmsNormRows(x, weight, epsilon, y);
  }
  void RmsNormBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy, Rows dx,
                       std::span<float> dweight) const override {
    RmsNormRowsBackward(x, weight, epsilon, dy, dx, dweight);
  }
  void Rope(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
            bool inverse) const override {
    RopeRows(x, head_dim, pairing, cos, sin, inverse);
  }
  void SwiGlu(ConstRows gate, ConstRows up, Rows y) const override { SwiGluRows(gate, up, y); }
  void SwiGluBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) const override {
    SwiGluRowsBackward(gate, up, dy, dgate, dup);
  }
  void CrossEntropy(ConstRows logits, std::span<const std::int32_t> targets,
                    std::span<double> losses) const override {
    CrossEntropyRows(logits, targets, losses);
  }
  void CrossEntropyBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                            std::span<double> losses) const override {
    CrossEntropyRowsBackward(logits, targets, scale, losses);
  }
  void Add(ConstRows x, Rows y) const override { AddRows(x, y); }
  void Scale(float factor, std::span<float> x) const override { ScaleElements(factor, x); }
  double SumOfSquares(std::span<const float> x) const override { return SumOfSquaresOf(x); }
  void AdamW(const AdamWStep& step, std::span<const float> gradient, std::span<float> m, std::span<float> v,
             std::span<float> parameter) const override {
    AdamWElements(step, gradient, m, v, parameter);
  }
  void AdamWInBytes(const AdamWStep& step, std::span<const float> gradient, const ByteMoments& moments,
                    std::span<float> parameter) const override {
    AdamWByteBlocks(step, gradient, moments, parameter);
  }

 private:
  bool Rounds(const Tensor& weight) const { return int8_ != nullptr && int8_->supports(weight.type()); }
  static void ExactMatMul(ConstRows x, const Product& p) {
    const bool add = p.store == Store::kAdd;
    if (x.rows < kPackFromRows) return FewRowsMatMul(x, *p.weight, p.y, add);
    PackedProduct({x.data, x.stride, 1}, x.rows, WeightAsColumns(*p.weight), p.y, add);
  }

  const Int8Products* int8_;
  const Int8Attention* int8_attention_;
};

VectorKernels Instances(std::string_view isa) {
  static const Implementation exact(nullptr, nullptr), rounding(Int8ProductsFor(isa), Int8AttentionFor(isa));
  return {isa, &exact, &rounding};
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

std::vector<VectorKernels> SupportedVectorKernels() {
  std::vector<VectorKernels> all;
#if HWY_ARCH_X86
  const std::int64_t supported = hwy::SupportedTargets();
  if (supported & HWY_AVX3) all.push_back(N_AVX3::Instances("avx512"));
  if (supported & HWY_AVX2) all.push_back(N_AVX2::Instances("avx2"));
#endif
  return all;
}

}  // namespace longspan
#endif
