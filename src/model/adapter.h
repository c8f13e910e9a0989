// A low-rank adapter: pairs of matrices that are added to a model's projections.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace longspan {

// The adapted projection computes y = W x + Scale() * B (A x) (Hu et al. 2021). As in Weights, rows of q and k
// (here: of their B) are in the order of interleaved-pair RoPE.
struct LoraAdapter {
  struct Pair {
    std::string target;  // a name of ForEachTensor: "layers.3.q"
    Tensor a;            // [rank, in], F32
    Tensor b;            // [out, rank], F32
  };

  std::int64_t rank = 0;
  double alpha = 0.0;
  bool rslora = false;     // rank-stabilised: alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023)
  double dropout = 0.0;    // as trained; means nothing afterwards
  std::string base_model;  // where it belongs to, as its maker called it
  std::vector<Pair> pairs;

  double Scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (rslora ? std::sqrt(r) : r);
  }
};

}  // namespace longspan
