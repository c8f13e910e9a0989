// A low-rank adapter: pairs of matrices that are added to a model's projections.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "model/weight_id.h"
#include "model/weights.h"
#include "tensor/tensor.h"

namespace longspan {

// The adapted projection computes y = W x + Scale() * B (A x) (Hu et al. 2021). As in Weights, rows of q and
// k (here: of their B) are in the order of interleaved-pair RoPE.
struct LoraAdapter {
  struct Pair {
    WeightId target;
    Tensor a;  // [rank, in], F32
    Tensor b;  // [out, rank], F32
  };

  // A weight of the base that an adapter's file holds beside the pairs. Training leaves it alone.
  struct BaseLayer {
    WeightId target;
    Tensor weight;      // as the base has it, in the file's type
    std::string where;  // file and tensor, for messages
  };

  std::int64_t rank = 0;
  double alpha = 0.0;
  bool rslora = false;     // rank-stabilised: alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023)
  double dropout = 0.0;    // as trained; means nothing afterwards
  std::string base_model;  // the base model, as the adapter's maker called it
  std::vector<Pair> pairs;
  std::vector<BaseLayer> base_layers = {};

  bool Adapts(WeightId target) const {
    return std::ranges::find(pairs, target, &Pair::target) != pairs.end();
  }

  double Scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (rslora ? std::sqrt(r) : r);
  }
};

// Error(kInvalidFile) unless the base layers that came with the adapter are the base's own: equal up to one
// rounding between float types, or near them if the base is quantised. Others mean another base, or an
// embedding that was trained as a whole.
void CheckBaseLayers(const LoraAdapter& adapter, const Weights& base);

}  // namespace longspan
