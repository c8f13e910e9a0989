// How much each weight's quantisation changes a model's predictions: measured, not assumed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "model/transformer.h"
#include "model/weight_id.h"
#include "quantize/importance.h"
#include "tensor/type.h"

namespace longspan {

// A weight to measure, and the types that it might get.
struct SensitivityRequest {
  WeightId weight;
  std::vector<Type> types;     // to be estimated
  std::vector<Type> measured;  // the few of them to be measured: one or two, the coarser first
};

// What one type does to one weight.
struct TypeHarm {
  Type type = Type::kF32;
  double relative_error = 0;  // |x W - x W'| / |x W|, root mean square over the text's inputs x
  double divergence = 0;      // mean KL(as it is || with this weight alone in this type), nats a token
  bool measured = false;      // else it follows from the error
};

struct Sensitivity {
  WeightId weight;
  std::vector<TypeHarm> harms;  // one for each of the request's types, in their order
};

// Encodes one weight at a time, with `importance` where there is one, and runs `chunks` (all of one length)
// through the model from that weight's layer on; every token's prediction is compared with the model's own.
// The divergence is quadratic in a small error, so a type that is not measured gets what its relative error
// says, on the line in log-log that goes through the measured ones. The error is measured on a sample of
// rows.
//
// Needs memory for one hidden state a token, the activations of a chunk and the weight encoded. Takes half a
// pass through the model for each measured type of each weight. Error(kCancelled).
std::vector<Sensitivity> MeasureSensitivity(const Transformer& model, std::span<const TokenDocument> chunks,
                                            std::span<const SensitivityRequest> requests,
                                            const ImportanceMatrix* importance,
                                            Progress& progress = NoProgress());

// The divergence at a type of this error, from one or two measured (error, divergence), errors falling or
// rising.
double EstimateDivergence(std::span<const TypeHarm> measured, double relative_error);

}  // namespace longspan
