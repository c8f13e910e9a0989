// How a model's configuration turns into rotary frequencies.
#pragma once

#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "model/config.h"

namespace longspan {

struct RopeFrequencies {
  std::vector<double> inverse;  // [head_dim / 2], radians per position
  double magnitude = 1.0;       // of cosine and sine
  RopePairing pairing = RopePairing::kNeighbours;
};

// YaRN's factor for cosine and sine if a file does not give one: 0.1 scale ln(factor) + 1 (Peng et al. 2023,
// equation 22), and 1 if nothing is stretched. Scores are multiplied by its square.
double YarnMagnitude(double factor, double scale = 1.0);

// Su et al. 2021 (none), Chen et al. 2023 (linear), "NTK-aware" scaling of theta (ntk), Peng et al. 2023
// (yarn), and Llama 3.1's piecewise scaling (llama3). `factors` divide the inverse frequencies where a file
// carries them.
RopeFrequencies MakeRopeFrequencies(const LlamaConfig& config, std::span<const float> factors = {});

}  // namespace longspan
