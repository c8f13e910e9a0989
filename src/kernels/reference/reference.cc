#include "kernels/reference/reference.h"

#include "kernels/kernels.h"
#include "kernels/reference/reference_kv.h"

namespace longspan {
namespace {

namespace ref = reference;

class Reference : public Kernels {
 public:
  std::string name() const override { return "reference"; }

  void MatMuls(ConstRows x, std::span<const Product> products) const override {
    for (const Product& p : products) {
      const Tensor w = p.weight->ToF32();
      ref::MatMul<float>(x, w.AsRows(), p.y, p.store);
    }
  }
  std::int64_t PackedBytes(const Tensor&) const override { return 0; }
  Packing Pack(const Tensor&, std::span<std::byte>, std::shared_ptr<const void>) const override { return {}; }
  void MatMulInputGradient(ConstRows dy, const Tensor& weight, Rows dx, Store store) const override {
    const Tensor w = weight.ToF32();
    ref::MatMulInputGradient<float>(dy, w.AsRows(), dx, store);
  }
  void MatMulWeightGradient(ConstRows dy, ConstRows x, Rows dw) const override {
    ref::MatMulWeightGradient<float>(dy, x, dw);
  }

  void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) const override {
    for (const AttentionSequence& s : sequences) {
      const Matrix k = ref::Decode(s.kv, &KvBlock::k, shape.kv_heads, shape.head_dim);
      const Matrix v = ref::Decode(s.kv, &KvBlock::v, shape.kv_heads, shape.head_dim);
      const auto element = [&](ConstRows rows) {
        return [rows, head_dim = shape.head_dim](std::int64_t kv_head, std::int64_t j, std::int64_t d) {
          return rows.at(j, kv_head * head_dim + d);
        };
      };
      ref::Attention<float>(shape, s.q, s.first_order, s.documents, element(k), element(v), s.out,
                            s.log_sum_exp, s.blocks);
    }
  }
  void AttentionBackward(const AttentionShape& shape,
                         std::span<const AttentionBackwardSequence> sequences) const override {
    for (const AttentionBackwardSequence& s : sequences) {
      const Matrix k = ref::Decode(s.kv, &KvBlock::k, shape.kv_heads, shape.head_dim);
      const Matrix v = ref::Decode(s.kv, &KvBlock::v, shape.kv_heads, shape.head_dim);
      ref::AttentionBackward<float>(shape, s.q, k, v, s.documents, s.dout, s.dq, s.dk, s.dv);
    }
  }
  void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, Rows mass) const override {
    const Matrix k = ref::Decode(s.kv, &KvBlock::k, shape.kv_heads, shape.head_dim);
    ref::KeyBlockMass(shape, s, k, mass);
  }

  void StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
               std::span<std::byte* const> pages) const override {
    ref::StoreKv(layout, k, v, first_slot, pages);
  }

  void RmsNorm(ConstRows x, std::span<const float> weight, float epsilon, Rows y) const override {
    ref::RmsNorm<float>(x, weight, epsilon, y);
  }
  void RmsNormBackward(ConstRows x, std::span<const float> weight, float epsilon, ConstRows dy, Rows dx,
                       std::span<float> dweight) const override {
    ref::RmsNormBackward<float>(x, weight, epsilon, dy, dx, dweight);
  }
  void Rope(Rows x, std::int64_t head_dim, RopePairing pairing, ConstRows cos, ConstRows sin,
            bool inverse) const override {
    ref::Rope<float>(x, head_dim, pairing, cos, sin, inverse);
  }
  void SwiGlu(ConstRows gate, ConstRows up, Rows y) const override { ref::SwiGlu<float>(gate, up, y); }
  void SwiGluBackward(ConstRows gate, ConstRows up, ConstRows dy, Rows dgate, Rows dup) const override {
    ref::SwiGluBackward<float>(gate, up, dy, dgate, dup);
  }

  void CrossEntropy(ConstRows logits, std::span<const std::int32_t> targets,
                    std::span<double> losses) const override {
    for (std::int64_t i = 0; i < logits.rows; ++i) {
      std::vector<double> row(logits[i].begin(), logits[i].end());
      const auto at = static_cast<std::size_t>(i);
      losses[at] = ref::CrossEntropyRow<double>(row, targets[at], false, 0);
    }
  }
  void CrossEntropyBackward(Rows logits, std::span<const std::int32_t> targets, float scale,
                            std::span<double> losses) const override {
    for (std::int64_t i = 0; i < logits.rows; ++i) {
      std::vector<double> row(logits[i].begin(), logits[i].end());
      const auto at = static_cast<std::size_t>(i);
      losses[at] = ref::CrossEntropyRow<double>(row, targets[at], true, scale);
      std::transform(row.begin(), row.end(), logits[i].begin(),
                     [](double g) { return static_cast<float>(g); });
    }
  }

  void Add(ConstRows x, Rows y) const override {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t j = 0; j < x.cols; ++j) y.at(i, j) += x.at(i, j);
    }
  }
  void Scale(float factor, std::span<float> x) const override {
    for (float& v : x) v *= factor;
  }
  double SumOfSquares(std::span<const float> x) const override {
    double sum = 0;
    for (const float v : x) sum += static_cast<double>(v) * v;
    return sum;
  }
  void AdamW(const AdamWStep& s, std::span<const float> gradient, std::span<float> m, std::span<float> v,
             std::span<float> parameter) const override {
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      m[i] = s.beta1 * m[i] + (1 - s.beta1) * gradient[i];
      v[i] = s.beta2 * v[i] + (1 - s.beta2) * gradient[i] * gradient[i];
      const float update = (m[i] / s.correction1) / (std::sqrt(v[i] / s.correction2) + s.epsilon);
      parameter[i] -= s.learning_rate * (update + s.weight_decay * parameter[i]);
    }
  }
  void AdamWInBytes(const AdamWStep& s, std::span<const float> gradient, const ByteMoments& moments,
                    std::span<float> parameter) const override {
    const std::int64_t n = std::ssize(parameter);
    std::vector<float> m(parameter.size()), v(parameter.size());
    const auto decode = [&](const MomentCodes& codes, std::span<const std::uint8_t> from,
                            std::span<const float> scales, std::vector<float>& to) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = codes.values[from[i]] * scales[i / kMomentBlock];
    };
    const auto encode = [&](const MomentCodes& codes, const std::vector<float>& from,
                            std::span<std::uint8_t> to, std::span<float> scales) {
      for (std::int64_t block = 0; block < MomentBlocks(n); ++block) {
        const std::int64_t first = block * kMomentBlock, end = std::min(n, first + kMomentBlock);
        float& largest = scales[block] = 0;
        for (std::int64_t i = first; i < end; ++i) largest = std::max(largest, std::abs(from[i]));
        const float inverse = largest > 1e-37f ? 1 / largest : 0;
        for (std::int64_t i = first; i < end; ++i) to[i] = codes.Nearest(from[i] * inverse);
      }
    };
    decode(SignedMomentCodes(), moments.m, moments.m_scales, m);
    decode(UnsignedMomentCodes(), moments.v, moments.v_scales, v);
    AdamW(s, gradient, m, v, parameter);
    encode(SignedMomentCodes(), m, moments.m, moments.m_scales);
    encode(UnsignedMomentCodes(), v, moments.v, moments.v_scales);
  }
};

}  // namespace

const Kernels& ReferenceKernels() {
  static const Reference kernels;
  return kernels;
}

}  // namespace longspan
