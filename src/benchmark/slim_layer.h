// One layer of a model, made narrower, to measure on: what it takes at the true number of rows tells what the
// whole takes, in a fraction of the time.
#pragma once

#include "model/config.h"
#include "model/weights.h"

namespace longspan {

struct SlimLayer {
  LlamaConfig config;
  Weights weights;  // views of the model's; which values they hold means nothing
};

// The first layer with about `share` (0 to 1] of its heads and of its hidden dimensions, at least one key
// head with its queries, and with so few words that embedding and LM head cost nothing. Widths are whole
// blocks of the weights' types, so that the share can come out larger.
SlimLayer MakeSlimLayer(const LlamaConfig& config, const Weights& weights, double share);

}  // namespace longspan
