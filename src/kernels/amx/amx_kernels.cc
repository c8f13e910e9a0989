#include "kernels/amx/amx_kernels.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "kernels/amx/attention.h"
#include "kernels/amx/attention_backward.h"
#include "kernels/amx/product.h"
#include "kernels/amx/tiles.h"

namespace longspan::amx {
namespace {

// Sequences with enough queries for tiles, and the others.
template <class Sequence>
struct SequencesByQueries {
  std::vector<Sequence> many, few;
};
template <class Sequence>
SequencesByQueries<Sequence> ByQueries(const AttentionShape& shape, std::span<const Sequence> sequences) {
  SequencesByQueries<Sequence> by;
  for (const Sequence& s : sequences) (HasManyQueries(shape, s) ? by.many : by.few).push_back(s);
  return by;
}

class Implementation final : public Kernels {
 public:
  // `gradients`: whether they are rounded too.
  Implementation(const Kernels& vectors, bool gradients) : vectors_(vectors), gradients_(gradients) {}

  std::string name() const override { return "AMX with " + vectors_.name() + (gradients_ ? ", BF16" : ""); }

  void MatMuls(ConstRows x, std::span<const Product> products) const override {
    std::vector<Product> few;
    const auto is_few = [&](const Product& p) {
      return x.rows < (vectors_.PackedBytes(*p.weight) > 0 ? kManyRoundedRows : kManyRows);
    };
    std::ranges::copy_if(products, std::back_inserter(few), is_few);
    if (!few.empty()) vectors_.MatMuls(x, few);
    if (few.size() == products.size()) return;
    static thread_local PackedRows packed;
    packed.Pack(x);
    for (const Product& p : products) {
      if (!is_few(p)) amx::MatMul<HardwareTiles>(packed, *p.weight, p.y, p.store == Store::kAdd);
    }
  }
  std::int64_t PackedBytes(const Tensor& weight) const override { return vectors_.PackedBytes(weight); }
  Packing Pack(const Tensor& weight, std::span<std::byte> to,
               std::shared_ptr<const void> owner) const override {
    return vectors_.Pack(weight, to, std::move(owner));
  }
  void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const override {
    const auto [many, few] = ByQueries(shape, sequences);
    if (!many.empty()) amx::Attention<HardwareTiles>(shape, many);
    if (!few.empty()) vectors_.Attention(shape, few);
  }

  void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const override {
    if (!gradients_ || dy.rows < kManyRows) return vectors_.MatMulInputGradient(dy, weight, dx, store);
    static thread_local PackedRows packed;
    packed.Pack(dy);
    MatMulColumns<HardwareTiles>(packed, MatrixBytes::Of(weight), dx, store == Store::kAdd);
  }
  void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const override {
    if (!gradients_ || dy.rows < kManyRows) return vectors_.MatMulWeightGradient(dy, x, dw);
    static thread_local PackedRows packed;
    packed.PackTransposed(dy);
    MatMulColumns<HardwareTiles>(packed, MatrixBytes::Of(x), dw, true);
  }
  void AttentionBackward(const AttentionShape& shape,
                         std::span<const AttentionBackwardSequence> sequences) const override {
    if (!gradients_) return vectors_.AttentionBackward(shape, sequences);
    const auto [many, few] = ByQueries(shape, sequences);
    if (!many.empty()) amx::AttentionBackward<HardwareTiles>(shape, many);
    if (!few.empty()) vectors_.AttentionBackward(shape, few);
  }
  void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, Rows mass) const override {
    vectors_.KeyBlockMass(shape, s, mass);
  }
  void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
               std::span<std::byte* const> pages) const override {
    vectors_.StoreKv(layout, k, v, first_slot, pages);
  }
  void RmsNorm(ConstRows x, std::span<const float> weight, float epsilon, Rows y) const override {
    vectors_.RmsNorm(x, weight, epsilon, y);
  }
  void RmsNormBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy, Rows dx,
                       std::span<float> dweight) const override {
    vectors_.RmsNormBackward(x, weight, epsilon, dy, dx, dweight);
  }
  void Rope(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
            bool inverse) const override {
    vectors_.Rope(x, head_dim, pairing, cos, sin, inverse);
  }
  void SwiGlu(ConstRows gate, ConstRows up, Rows y) const override { vectors_.SwiGlu(gate, up, y); }
  void SwiGluBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) const override {
    vectors_.SwiGluBackward(gate, up, dy, dgate, dup);
  }
  void CrossEntropy(ConstRows logits, std::span<const std::int32_t> targets,
                    std::span<double> losses) const override {
    vectors_.CrossEntropy(logits, targets, losses);
  }
  void CrossEntropyBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                            std::span<double> losses) const override {
    vectors_.CrossEntropyBackward(logits, targets, scale, losses);
  }
  void Add(ConstRows x, Rows y) const override { vectors_.Add(x, y); }
  void Scale(float factor, std::span<float> x) const override { vectors_.Scale(factor, x); }
  double SumOfSquares(std::span<const float> x) const override { return vectors_.SumOfSquares(x); }
  void AdamW(const AdamWStep& step, std::span<const float> gradient, std::span<float> m, std::span<float> v,
             std::span<float> parameter) const override {
    vectors_.AdamW(step, gradient, m, v, parameter);
  }
  void AdamWInBytes(const AdamWStep& step, std::span<const float> gradient, const ByteMoments& moments,
                    std::span<float> parameter) const override {
    vectors_.AdamWInBytes(step, gradient, moments, parameter);
  }

 private:
  const Kernels& vectors_;
  const bool gradients_;
};

}  // namespace

const Kernels* TileKernels(const Kernels& vectors) {
  if (!TilesSupported()) return nullptr;
  static const Implementation kernels(vectors, false);
  return &kernels;
}

const Kernels* TrainingTileKernels(const Kernels& vectors) {
  if (!TilesSupported()) return nullptr;
  static const Implementation kernels(vectors, true);
  return &kernels;
}

}  // namespace longspan::amx
