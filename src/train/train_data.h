// Shards as the trainer reads them.
#pragma once

#include <memory>

#include "data/examples.h"
#include "data/shard_set.h"
#include "train/trainer.h"

namespace longspan {

// Examples of the shards' training documents, and options.eval_examples of the validation documents, drawn
// once and without retrieval examples. `encoder` is the model's, must outlive the result, and must be the one
// that made the shards (CheckFits), which are read once to make sure of it.
TrainData MakeTrainData(const ShardSet& shards, const ExampleOptions& examples, const TrainOptions& options,
                        const TextEncoder& encoder);

}  // namespace longspan
