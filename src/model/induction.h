// An initialisation that can already look things up.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/weights.h"

namespace longspan {

// RandomWeights with an induction head (Olsson et al. 2022, "In-context learning and induction heads")
// written into the first two layers: the first layer copies to each token what stood before it; the second
// looks for places where the current token stood before, and brings what followed. Large models grow such
// heads by themselves; a small one would spend most of its training on finding them. Training may still shape
// or unmake all of it. As in mimetic initialisation (Trockman & Kolter 2023, arXiv 2305.09828), projections
// are made from one another: a key's from the output that it must find, an output's from the value that it
// must copy.
//
// Error(kBadOption) unless the model is a Llama with tied embeddings, at least two layers, and heads of at
// least 16 dimensions.
Weights InductionWeights(const LlamaConfig& config, std::uint64_t seed);

}  // namespace longspan
