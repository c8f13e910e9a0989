#include "formats/rope_override.h"

#include "base/error.h"
#include "formats/llama_gguf.h"

namespace longspan {

void Apply(const RopeOverride& rope, LlamaConfig& config, Weights& weights) {
  if (rope.theta) config.rope_theta = *rope.theta;
  const bool measures = rope.factor > 0 || rope.original_context > 0;
  if (!rope.scaling && !measures) return;
  RopeScaling& scaling = config.rope_scaling;
  if (rope.scaling) scaling.kind = *rope.scaling;
  if (scaling.kind == RopeScaling::Kind::kNone) {
    if (measures)
      Fail(ErrorKind::kBadOption, "a rope factor or original context needs a rope scaling, found none");
    scaling = RopeScaling();
    weights.rope_factors = Tensor();
    return;
  }
  if (rope.factor > 0) scaling.factor = rope.factor;
  if (rope.original_context > 0) scaling.original_context = rope.original_context;
  if (scaling.factor == 1.0)
    Fail(ErrorKind::kBadOption, "rope scaling {} needs a factor", Name(scaling.kind));
  if (scaling.original_context == 0) scaling.original_context = config.context;
  // The file's own factors belong to the scaling that it came with.
  weights.rope_factors = scaling.kind == RopeScaling::Kind::kLlama3 ? Llama3RopeFactors(config) : Tensor();
}

}  // namespace longspan
