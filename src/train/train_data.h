// Shards as the trainer reads them.
#pragma once

#include <memory>

#include "base/progress.h"
#include "data/examples.h"
#include "data/shard_set.h"
#include "train/trainer.h"

namespace longspan {

// Examples of the shards' training documents, and options.eval_examples of the validation documents, drawn
// once and without retrieval examples. `encoder` is the model's, must outlive the result, and must be the one
// that made the shards (CheckFits), which are read once to make sure of it.
TrainData MakeTrainData(const ShardSet& shards, const ExampleOptions& examples, const TrainOptions& options,
                        const TextEncoder& encoder);

// Says what distances the first examples of a run teach, before its first step: how many skip positions, how
// far they reach, and which distances are rare. `pose` is how they are drawn. Error(kBadOption) where none
// skips any, though the options ask for it: training would teach nothing about distance.
void ReportDistances(const TrainData& data, const PoseOptions& pose, Progress& progress);

}  // namespace longspan
