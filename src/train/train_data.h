// Shards as the trainer reads them.
#pragma once

#include <memory>

#include "data/examples.h"
#include "data/shard.h"
#include "train/trainer.h"

namespace longspan {

// Examples of the shards' training documents, and options.eval_examples of the validation documents, drawn
// once and without retrieval examples. `encoder` is needed for retrieval examples only and must outlive the
// result.
TrainData MakeTrainData(const ShardSet& shards, const ExampleOptions& examples, const TrainOptions& options,
                        const TextEncoder& encoder);

}  // namespace longspan
