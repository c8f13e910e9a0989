// RoPE settings that the user gives instead of those in a file.
#pragma once

#include <cstdint>
#include <optional>

#include "model/config.h"
#include "model/weights.h"

namespace longspan {

struct RopeOverride {
  std::optional<double> theta;
  std::optional<RopeScaling::Kind> scaling;
  double factor = 0;                  // 0: as it is
  std::int64_t original_context = 0;  // 0: as it is, or else the model's window
};

// What is not asked for stays, and what follows from theta or the factor is computed again: llama3's
// divisors, and YaRN's attention factor, which cannot be set. Error(kBadOption) for a scaling without a
// factor, or a factor without a scaling, the file's or the one asked for; Error(kUnsupported) where the
// file's divisors are of an unknown kind and would have to follow.
void Apply(const RopeOverride& rope, LlamaConfig& config, Weights& weights);

}  // namespace longspan
