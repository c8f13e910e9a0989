// The dimensions of published Llamas, by name. Touvron et al. 2023 (Llama 2), Dubey et al. 2024 (Llama 3),
// and the configurations beside the weights.
#pragma once

#include <span>
#include <string_view>

#include "model/config.h"

namespace longspan {

// Each is named by its shape: "llama3-8b".
std::span<const LlamaConfig> AllShapes();

// Error(kBadOption), listing the names, for an unknown one.
const LlamaConfig& FindShape(std::string_view name);

}  // namespace longspan
