// Which model a file of keys and values belongs to.
#pragma once

#include <cstdint>

#include "model/transformer.h"

namespace longspan {

// Covers all that keys and values depend on: the measures, RoPE, every weight's type and shape with samples of its
// bytes, and adapters likewise. Samples, because a whole model would have to be read from disk; two models that agree in
// them are the same in practice.
std::uint64_t Fingerprint(const Transformer& model);

}  // namespace longspan
