#include "kernels/bf16/bf16_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/bf16/attention.h"
#include "kernels/bf16/attention_backward.h"
#include "kernels/bf16/product.h"
#include "kernels/bf16/tiles.h"

namespace longspan::bf16 {
namespace {

enum class Purpose {
  kInference,    // gradients are exact
  kTraining,     // gradients are rounded too
  kBesideBytes,  // kInference, for what has no faster products of bytes
};

// Tiles is HardwareTiles or VectorTiles.
template <class Tiles>
class Implementation final : public Kernels {
 public:
  Implementation(const Kernels& vectors, Purpose purpose) : vectors_(vectors), purpose_(purpose) {}

  std::string name() const override {
    const std::string_view unit = std::is_same_v<Tiles, HardwareTiles> ? "AMX with " : "BF16 pairs with ";
    return fmt::format("{}{}{}", unit, vectors_.name(), gradients() ? ", BF16" : "");
  }

  void MatMuls(ConstRows x, std::span<const Product> products) const override {
    std::vector<Product> others;
    const auto is_other = [&](const Product& p) {
      const bool rounded = vectors_.PackedBytes(*p.weight) > 0;
      if (purpose_ == Purpose::kBesideBytes && Traits(p.weight->type()).block_elements > 1) return true;
      return x.rows < (rounded ? kManyRoundedRows : kManyRows);
    };
    std::ranges::copy_if(products, std::back_inserter(others), is_other);
    if (!others.empty()) vectors_.MatMuls(x, others);
    if (others.size() == products.size()) return;
    static thread_local PackedRows packed;
    packed.Pack(x);
    for (const Product& p : products) {
      if (!is_other(p)) bf16::MatMul<Tiles>(packed, *p.weight, p.y, p.store == Store::kAdd);
    }
  }
  std::int64_t PackedBytes(const Tensor& weight) const override { return vectors_.PackedBytes(weight); }
  Packing Pack(const Tensor& weight, std::span<std::byte> to,
               std::shared_ptr<const void> owner) const override {
    return vectors_.Pack(weight, to, std::move(owner));
  }
  void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const override {
    const auto [here, others] = Split(shape, sequences);
    if (!here.empty()) bf16::Attention<Tiles>(shape, here);
    if (!others.empty()) vectors_.Attention(shape, others);
  }

  void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const override {
    if (!gradients() || dy.rows < kManyRows) return vectors_.MatMulInputGradient(dy, weight, dx, store);
    static thread_local PackedRows packed;
    packed.Pack(dy);
    MatMulColumns<Tiles>(packed, MatrixBytes::Of(weight), dx, store == Store::kAdd);
  }
  void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const override {
    if (!gradients() || dy.rows < kManyRows) return vectors_.MatMulWeightGradient(dy, x, dw);
    static thread_local PackedRows packed;
    packed.PackTransposed(dy);
    MatMulColumns<Tiles>(packed, MatrixBytes::Of(x), dw, true);
  }
  void AttentionBackward(const AttentionShape& shape,
                         std::span<const AttentionBackwardSequence> sequences) const override {
    if (!gradients()) return vectors_.AttentionBackward(shape, sequences);
    const auto [here, others] = Split(shape, sequences);
    if (!here.empty()) bf16::AttentionBackward<Tiles>(shape, here);
    if (!others.empty()) vectors_.AttentionBackward(shape, others);
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
  bool gradients() const { return purpose_ == Purpose::kTraining; }

  // The sequences whose attention is computed here, and the others.
  template <class Sequence>
  std::pair<std::vector<Sequence>, std::vector<Sequence>> Split(const AttentionShape& shape,
                                                                std::span<const Sequence> sequences) const {
    std::pair<std::vector<Sequence>, std::vector<Sequence>> split;
    for (const Sequence& s : sequences) {
      const Type type = s.kv.type();
      const bool here = HasManyQueries(shape, s) &&
                        (purpose_ != Purpose::kBesideBytes || type == Type::kF16 || type == Type::kBF16);
      (here ? split.first : split.second).push_back(s);
    }
    return split;
  }

  const Kernels& vectors_;
  const Purpose purpose_;
};

}  // namespace

const Kernels* TileKernels(const Kernels& vectors) {
  if (!TilesSupported()) return nullptr;
  static const Implementation<HardwareTiles> kernels(vectors, Purpose::kInference);
  return &kernels;
}

const Kernels* TrainingTileKernels(const Kernels& vectors) {
  if (!TilesSupported()) return nullptr;
  static const Implementation<HardwareTiles> kernels(vectors, Purpose::kTraining);
  return &kernels;
}

const Kernels* PairKernels(const Kernels& vectors) {
  if (!VectorsSupported()) return nullptr;
  static const Implementation<VectorTiles> kernels(vectors, Purpose::kBesideBytes);
  return &kernels;
}

const Kernels* TrainingPairKernels(const Kernels& vectors) {
  if (!VectorsSupported()) return nullptr;
  static const Implementation<VectorTiles> kernels(vectors, Purpose::kTraining);
  return &kernels;
}

}  // namespace longspan::bf16
