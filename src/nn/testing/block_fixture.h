// A small random block for tests: its tensors, its adapters, its gradients, and its twin in double precision.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/block.h"
#include "nn/testing/double_matrix.h"
#include "nn/testing/dropout_mask.h"
#include "nn/testing/reference_block.h"

namespace longspan::oracle {

// The seven layers of a block, by name.
struct Projection {
  std::string_view name;
  Linear Block::*layer;
  ReferenceLinear ReferenceBlock::*reference;
  LinearGradient BlockGradient::*gradient;
};
inline constexpr std::array<Projection, 7> kProjections{{
    {"q", &Block::q, &ReferenceBlock::q, &BlockGradient::q},
    {"k", &Block::k, &ReferenceBlock::k, &BlockGradient::k},
    {"v", &Block::v, &ReferenceBlock::v, &BlockGradient::v},
    {"o", &Block::o, &ReferenceBlock::o, &BlockGradient::o},
    {"gate", &Block::gate, &ReferenceBlock::gate, &BlockGradient::gate},
    {"up", &Block::up, &ReferenceBlock::up, &BlockGradient::up},
    {"down", &Block::down, &ReferenceBlock::down, &BlockGradient::down},
}};

struct BlockMeasures {
  std::int64_t heads, kv_heads, head_dim, dim, hidden_dim;
  std::int64_t rank = 0;  // of an adapter on every projection; 0: none
  Type type = Type::kF32;
  float dropout = 0;
  bool biases = false;  // of q, k and v
  RopePairing pairing = RopePairing::kNeighbours;
  std::int64_t window = AttentionShape::kNoWindow;
};

class BlockFixture {
 public:
  explicit BlockFixture(const BlockMeasures& m)
      : measures_(m), attention_norm_(RandomMatrix(1, m.dim, 50)), mlp_norm_(RandomMatrix(1, m.dim, 51)) {
    const std::int64_t q_dim = m.heads * m.head_dim, kv_dim = m.kv_heads * m.head_dim;
    const std::array<std::array<std::int64_t, 2>, 7> shapes{{{q_dim, m.dim},
                                                             {kv_dim, m.dim},
                                                             {kv_dim, m.dim},
                                                             {m.dim, q_dim},
                                                             {m.hidden_dim, m.dim},
                                                             {m.hidden_dim, m.dim},
                                                             {m.dim, m.hidden_dim}}};
    block.attention_norm = attention_norm_.span();
    block.mlp_norm = mlp_norm_.span();
    reference.attention_norm = Widen(block.attention_norm);
    reference.mlp_norm = Widen(block.mlp_norm);
    for (std::size_t i = 0; i < kProjections.size(); ++i) {
      const auto [out, in] = shapes[i];
      const float deviation = 1.0f / std::sqrt(static_cast<float>(in));
      Linear& layer = block.*kProjections[i].layer;
      layer.weight = RandomTensor(m.type, out, in, 60 + i, deviation);
      if (m.rank > 0) {
        adapters_[i] = {RandomTensor(Type::kF32, m.rank, in, 70 + i, deviation),
                        RandomTensor(Type::kF32, out, m.rank, 80 + i), 0.5f, m.dropout, i};
        layer.adapter = &adapters_[i];
      }
      if (m.biases && i < biases_.size()) {
        biases_[i] = RandomMatrix(1, out, 90 + i);
        layer.bias = biases_[i].span();
      }
      reference.*kProjections[i].reference = ReferenceLinear(layer);
    }
  }
  // The block points into its fixture.
  BlockFixture(const BlockFixture&) = delete;
  BlockFixture& operator=(const BlockFixture&) = delete;

  AttentionShape attention() const {
    return {measures_.heads, measures_.kv_heads, measures_.head_dim,
            1.0f / std::sqrt(static_cast<float>(measures_.head_dim)), measures_.window};
  }
  RopePairing pairing() const { return measures_.pairing; }
  std::vector<double> InverseFrequencies() const {
    std::vector<double> inverse;
    for (std::int64_t j = 0; j < measures_.head_dim / 2; ++j) {
      inverse.push_back(
          std::pow(10000.0, -2.0 * static_cast<double>(j) / static_cast<double>(measures_.head_dim)));
    }
    return inverse;
  }

  // Draws the masks of `step` and holds them fixed in the reference.
  void FixDropout(const Kernels& kernels, const DropoutStep& step, std::int64_t rows) {
    for (std::size_t i = 0; i < kProjections.size(); ++i) {
      (reference.*kProjections[i].reference).mask = DropoutMask(kernels, adapters_[i], step, rows);
    }
  }

  // Where a backward pass adds its gradients: everything that can be trained.
  struct Gradients {
    Matrix attention_norm, mlp_norm;
    std::array<Matrix, 7> weight, a, b;
    BlockGradient views;
  };
  void MakeGradients(Gradients& g) const {
    g.attention_norm = Matrix(1, measures_.dim);
    g.mlp_norm = Matrix(1, measures_.dim);
    g.views.attention_norm = g.attention_norm.span();
    g.views.mlp_norm = g.mlp_norm.span();
    for (std::size_t i = 0; i < kProjections.size(); ++i) {
      const Linear& layer = block.*kProjections[i].layer;
      LinearGradient& views = g.views.*kProjections[i].gradient;
      if (layer.weight.type() == Type::kF32) {
        views.weight = g.weight[i] = Matrix(layer.weight.rows(), layer.weight.cols());
      }
      if (layer.adapter == nullptr) continue;
      views.a = g.a[i] = Matrix(layer.adapter->a.rows(), layer.adapter->a.cols());
      views.b = g.b[i] = Matrix(layer.adapter->b.rows(), layer.adapter->b.cols());
    }
  }

  Block block;
  ReferenceBlock reference;

 private:
  BlockMeasures measures_;
  Matrix attention_norm_, mlp_norm_;
  std::array<Matrix, 3> biases_;  // of the first projections: q, k and v
  std::array<Adapter, 7> adapters_;
};

}  // namespace longspan::oracle
