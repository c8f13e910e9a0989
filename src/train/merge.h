// Folding an adapter into its base.
#pragma once

#include "base/progress.h"
#include "encode/unfit_values.h"
#include "kernels/kernels.h"
#include "model/adapter.h"
#include "model/weights.h"

namespace longspan {

// base + Scale() B A, computed in F32 and rounded once, to the base tensor's own type where that is a float
// type and to F16 where it is quantised. Error(kInvalidFile) for a pair that does not fit the base, and for
// sums that are not finite or that the type cannot hold; the latter may be clipped, which a message counts.
// An adapter of the embedding leaves the LM head as it is, as in PEFT, even where the two were tied. The
// result then has an output tensor of its own, and its configuration must say that it is not tied.
Weights MergeAdapter(const Weights& base, const LoraAdapter& adapter, const Kernels& kernels,
                     Progress& progress, TooLarge too_large = TooLarge::kRefuse);

}  // namespace longspan
