#include "train/train_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/hash.h"

namespace longspan {
namespace {

// Of the shards' files, validation included: its losses are part of a run's log.
std::string ContentDigest(const ShardSet& shards) {
  Hash64 hash;
  hash.Update(MappedFile::Open(shards.train.path())->bytes());
  if (shards.validation) hash.Update(MappedFile::Open(shards.validation->path())->bytes());
  return fmt::format("{:016x}", hash.value());
}

}  // namespace

TrainData MakeTrainData(const ShardSet& shards, const ExampleOptions& example_options,
                        const TrainOptions& options, const TextEncoder& encoder) {
  TrainData data;
  const auto examples = std::make_shared<Examples>(shards.train, example_options, encoder);
  data.examples = [examples](std::int64_t first, std::int64_t count) { return examples->Make(first, count); };
  data.examples_per_epoch = examples->size();
  data.content = ContentDigest(shards);
  if (!shards.validation || options.eval_examples == 0) return data;
  ExampleOptions validation_options = example_options;
  validation_options.retrieval_share = 0;
  const Examples validation(*shards.validation, validation_options);
  const std::int64_t count = std::min(options.eval_examples, validation.size());
  for (std::int64_t i = 0; i < count; i += options.batch_size) {
    data.validation.push_back(validation.Make(i, std::min(options.batch_size, count - i)));
  }
  return data;
}

}  // namespace longspan
