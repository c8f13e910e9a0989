// A listener to the inputs of a model's linear layers. Importance matrices are made with one.
#pragma once

#include <string_view>

#include "tensor/rows.h"

namespace longspan {

class ActivationListener {
 public:
  virtual ~ActivationListener() = default;

  // The input x [n, in] of the layer whose weight ForEachTensor calls `weight` ("layers.3.q"). Layers that
  // share an input follow one another, each with the same x. The LM head is "output" or, where it is tied,
  // "embedding". Called from the thread that runs the model; x is gone afterwards.
  virtual void Saw(std::string_view weight, ConstRows x) = 0;
};

}  // namespace longspan
