// Kernels on the tile unit of Intel's processors (AMX). Products and attention of many rows go there, with
// operands rounded to BF16. Everything else goes to the kernels over vectors.
#pragma once

#include "kernels/kernels.h"

namespace longspan::amx {

// `vectors` with the tile unit for what it is good at; null where this machine has none. The first call
// decides what `vectors` is.
const Kernels* TileKernels(const Kernels& vectors);

// The same for training: gradients of products of many rows go to the tile unit too.
const Kernels* TrainingTileKernels(const Kernels& vectors);

}  // namespace longspan::amx
