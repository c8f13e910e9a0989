// Which model a file belongs to: saved keys and values, or a checkpoint.
#pragma once

#include <cstdint>

#include "model/transformer.h"

namespace longspan {

// Covers all that keys and values depend on: the dimensions, RoPE, every weight's type and shape with samples
// of its bytes, and adapters likewise. It takes samples, because otherwise the whole model would have to be
// read from disk. Two models that agree in them are the same in practice.
std::uint64_t Fingerprint(const Transformer& model);

// Covers the dimensions and every byte of every weight, the LM head's too: what a training run starts from.
// RoPE's angles are settings, so they are left out.
std::uint64_t Fingerprint(const LlamaConfig& config, const Weights& weights);

}  // namespace longspan
