// Kernels over SIMD vectors, one implementation for each instruction set, from one source (Highway).
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace longspan {

struct VectorKernels {
  std::string_view isa;  // "avx512", "avx2"
  const Kernels* exact;
  const Kernels* rounding;  // of activations to 8 bits, where weights are quantised
};

// The kernels that this machine can run, best first.
std::vector<VectorKernels> SupportedVectorKernels();

}  // namespace longspan
