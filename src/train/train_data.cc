#include "train/train_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/cancel.h"
#include "base/error.h"
#include "data/distances.h"

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

void ReportDistances(const TrainData& data, const PoseOptions& pose, Progress& progress) {
  constexpr std::int64_t kExamples = 512, kPairs = 500'000'000;
  Distances distances(pose.target_context);
  for (std::int64_t i = 0; i < std::min(kExamples, data.examples_per_epoch) && distances.pairs() < kPairs;
       ++i) {
    ThrowIfCancelled();
    distances.Add(data.examples(i, 1));
  }
  if (distances.shifted() == 0 && pose.unmodified_share < 1) {
    Fail(ErrorKind::kBadOption,
         "PoSE is asked for, but none of the first {} examples skips positions, so that nothing is learnt "
         "about "
         "distances; expected a target of more than the window, at least 2 chunks and documents of more than "
         "a "
         "few tokens",
         distances.examples());
  }
  progress.Message(distances.Summary());
  if (const std::string warning = distances.Warning(); !warning.empty()) {
    progress.Message(
        fmt::format("warning: {}; chunks of random lengths, more chunks or a target a little over the "
                    "window to reach help",
                    warning));
  }
}

}  // namespace longspan
