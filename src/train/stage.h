// The stages of a job whose results settings can change, as bits for Key::changes.
#pragma once

#include <fmt/format.h>

#include <string>

namespace longspan {

enum Stage : unsigned {
  kPrepareStage = 1,
  kTrainStage = 2,
  kMergeStage = 4,
  kQuantizeStage = 8,
  kEvaluateStage = 16,  // perplexity and passkeys
  kCompareStage = 32,   // KL divergence of each type
  kSampleStage = 64,
};

// Raised when the same settings and files give other results than before; what was made before is then made
// anew.
constexpr int StageVersion(Stage) { return 1; }

}  // namespace longspan
