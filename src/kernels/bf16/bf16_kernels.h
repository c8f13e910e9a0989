// Kernels that round operands to BF16: on the tile unit of Intel's processors (AMX), or on vectors that
// multiply pairs of BF16 (AVX512-BF16). Products and attention of many rows go there; everything else goes to
// the kernels over vectors.
#pragma once

#include "kernels/kernels.h"

namespace longspan::bf16 {

// `vectors` with the tile unit for what it is good at; null where this machine has none. The first call
// decides what `vectors` is.
const Kernels* TileKernels(const Kernels& vectors);

// The same for training: gradients of products of many rows go to the tile unit too.
const Kernels* TrainingTileKernels(const Kernels& vectors);

// `vectors`, whose activations are rounded to 8 bits, with BF16 products where that is of no use: with
// weights of floats, and with keys and values in F16 or BF16. Null where this machine has no AVX-512 with
// BF16; whether it pays is PairsAreFast's question (tiles.h).
const Kernels* PairKernels(const Kernels& vectors);

// The same for training: all products and attention of many rows, and their gradients.
const Kernels* TrainingPairKernels(const Kernels& vectors);

}  // namespace longspan::bf16
