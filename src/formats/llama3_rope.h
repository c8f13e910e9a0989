// Llama 3.1's RoPE scaling as GGUF has it: one divisor for each inverse frequency, in place of the settings
// that they are made of.
#pragma once

#include <optional>

#include "model/config.h"
#include "tensor/tensor.h"

namespace longspan {

// What llama3 scaling divides each inverse frequency by: {head_dim / 2}, F32, the tensor that GGUF carries.
// Dubey et al. 2024 (Llama 3.1's reference code): wavelengths below original / high_frequency_factor stay,
// those above original / low_frequency_factor stretch by `factor`, and between the two lies a smooth step.
Tensor Llama3RopeFactors(const LlamaConfig& config);

// The inverse: the scaling that makes `factors` with the theta of `config`. Of the settings that give the
// same divisors, those with Llama 3's window of 8,192. Divisors that are all one leave the scaling that
// `config` has. Nothing for divisors of another kind, or beside another scaling.
std::optional<RopeScaling> FindLlama3Scaling(const Tensor& factors, const LlamaConfig& config);

}  // namespace longspan
