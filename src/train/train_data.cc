#include "train/train_data.h"

#include <fmt/format.h>

#include <algorithm>

namespace longspan {
TrainData MakeTrainData(const ShardSet& shards, const ExampleOptions& example_options,
                        const TrainOptions& options, const TextEncoder& encoder) {
  CheckFits(shards, encoder);
  TrainData data;
  const auto examples = std::make_shared<Examples>(shards.train, example_options, encoder);
  data.examples = [examples](std::int64_t first, std::int64_t count) { return examples->Make(first, count); };
  data.examples_per_epoch = examples->size();
  data.content = fmt::format("{:016x}", shards.content_digest());
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
