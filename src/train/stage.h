// The stages of a job whose results settings can change, as bits for Key::changes.
#pragma once

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

}  // namespace longspan
