// The linear layers of a block as parts of a model, for code that treats them all alike.
#pragma once

#include <algorithm>
#include <array>

#include "model/weight_id.h"
#include "nn/block.h"

namespace longspan {

struct LinearPart {
  Part part;
  Linear Block::*linear;
  LinearGradient BlockGradient::*gradient;
  Matrix BlockActivations::*input;  // what it is given
};

// Layers that share an input follow one another.
inline constexpr std::array<LinearPart, 7> kLinears{
    {{Part::kQ, &Block::q, &BlockGradient::q, &BlockActivations::normed},
     {Part::kK, &Block::k, &BlockGradient::k, &BlockActivations::normed},
     {Part::kV, &Block::v, &BlockGradient::v, &BlockActivations::normed},
     {Part::kO, &Block::o, &BlockGradient::o, &BlockActivations::attended},
     {Part::kGate, &Block::gate, &BlockGradient::gate, &BlockActivations::mlp_normed},
     {Part::kUp, &Block::up, &BlockGradient::up, &BlockActivations::mlp_normed},
     {Part::kDown, &Block::down, &BlockGradient::down, &BlockActivations::hidden}}};

// nullptr for a part that is no linear layer of a block.
inline const LinearPart* FindLinear(Part part) {
  const auto* found = std::ranges::find(kLinears, part, &LinearPart::part);
  return found == kLinears.end() ? nullptr : found;
}

}  // namespace longspan
