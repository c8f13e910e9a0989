#include "formats/rope_override.h"

#include "base/error.h"
#include "formats/llama3_rope.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;

// The scaling that the model came with. A GGUF file has llama3's scaling only as divisors. Nothing if those
// are of an unknown kind.
std::optional<RopeScaling> ScalingOf(const LlamaConfig& config, const Weights& weights) {
  if (weights.rope_factors.empty() || config.rope_scaling.kind == Kind::kLlama3) return config.rope_scaling;
  return FindLlama3Scaling(weights.rope_factors, config);
}

// The scaling to start from: the model's own if the kind stays. Another kind keeps only the two numbers that
// all kinds have.
RopeScaling Start(const RopeOverride& rope, const LlamaConfig& config, const Weights& weights) {
  const std::optional<RopeScaling> own = ScalingOf(config, weights);
  if (own && rope.scaling.value_or(own->kind) == own->kind) return *own;
  if (!rope.scaling) {
    Fail(ErrorKind::kUnsupported,
         "the model's RoPE divisors (rope_freqs) match no known scaling, so they cannot follow another "
         "theta or factor; name a scaling to replace them, or none to drop them");
  }
  RopeScaling scaling;
  scaling.kind = *rope.scaling;
  scaling.factor = config.rope_scaling.factor;
  scaling.original_context = config.rope_scaling.original_context;
  return scaling;
}

}  // namespace

void Apply(const RopeOverride& rope, LlamaConfig& config, Weights& weights) {
  const double theta = rope.theta.value_or(config.rope_theta);
  const bool measures = rope.factor > 0 || rope.original_context > 0;
  const bool rescales = rope.scaling || measures;
  if (!rescales && theta == config.rope_theta) return;
  RopeScaling scaling = Start(rope, config, weights);
  config.rope_theta = theta;
  // Divisors belong to the scaling and the theta that they came with.
  weights.rope_factors = Tensor();
  if (scaling.kind == Kind::kNone) {
    if (measures)
      Fail(ErrorKind::kBadOption, "a rope factor or original context needs a rope scaling, found none");
    config.rope_scaling = RopeScaling();
    return;
  }
  if (rope.factor > 0 && rope.factor != scaling.factor) {
    scaling.factor = rope.factor;
    scaling.attention_factor = 0;  // a file's own is for the file's factor
  }
  if (rope.original_context > 0) scaling.original_context = rope.original_context;
  if (rescales) {
    if (scaling.factor == 1.0)
      Fail(ErrorKind::kBadOption, "rope scaling {} needs a factor", Name(scaling.kind));
    if (scaling.original_context == 0) scaling.original_context = config.context;
  }
  config.rope_scaling = scaling;
  if (scaling.kind == Kind::kLlama3) weights.rope_factors = Llama3RopeFactors(config);
}

}  // namespace longspan
