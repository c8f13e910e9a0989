// A listener to the inputs of a model's linear layers. Importance matrices are made with one.
#pragma once

#include "model/weight_id.h"
#include "tensor/rows.h"

namespace longspan {

class ActivationListener {
 public:
  virtual ~ActivationListener() = default;

  // The input x [n, in] of the layer that has this weight. Layers that share an input follow one another,
  // each with the same x. The LM head's weight is the output or, where it is tied, the embedding. Called from
  // the thread that runs the model; x is gone afterwards.
  virtual void Saw(WeightId weight, ConstRows x) = 0;
};

}  // namespace longspan
