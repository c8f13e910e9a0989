#include "benchmark/reading_time.h"

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "benchmark/random_depth.h"
#include "benchmark/seconds.h"
#include "infer/session.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace longspan {
namespace {

constexpr std::int64_t kLogitRows = 64;
constexpr std::int64_t kDeepest = 8192;  // where the cost of depth is measured; it grows linearly beyond

}  // namespace

ReadingTime MeasureReadingTime(const LlamaConfig& config, const Weights& weights, std::int64_t longest,
                               const Kernels& kernels, double budget) {
  const std::int64_t rows = std::min(Session::kChunk, longest);
  Random random(0, 3, RandomPurpose::kSynthetic);
  std::vector<std::int32_t> tokens(rows);
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random.Below(config.vocab_size));
  Matrix hidden(rows, config.dim);

  // The seconds that `layers` layers take for `count` tokens after `depth` others.
  const auto seconds = [&](std::int64_t layers, std::int64_t count, std::int64_t depth, int repetitions) {
    LlamaConfig part = config;
    part.layers = layers;
    Weights some = weights;
    some.layers.resize(layers);
    const Transformer model(part, some, kernels);
    KvCache cache(part);
    if (depth > 0) AppendRandom(kernels, depth, cache);
    const auto pass = [&] {
      cache.Truncate(depth);
      model.Forward(std::span(tokens).first(count), cache, Rows(hidden).Slice(0, count));
    };
    pass();  // brings the weights from the file
    return BestSeconds(repetitions, pass);
  };

  const double probe = seconds(1, std::min<std::int64_t>(rows, 64), 0, 1) /
                       static_cast<double>(std::min<std::int64_t>(rows, 64));
  // About seven passes in all.
  const auto layers =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(budget / (7 * probe * static_cast<double>(rows))), 1,
                               std::ssize(weights.layers));
  const double all = static_cast<double>(config.layers) / static_cast<double>(layers);
  const std::int64_t depth = std::max<std::int64_t>(rows, std::min(longest, kDeepest));

  ReadingTime time;
  const double near = seconds(layers, rows, 0, 2), far = seconds(layers, rows, depth, 1);
  time.key = std::max(far - near, 0.0) * all / (static_cast<double>(rows) * static_cast<double>(depth));
  time.token =
      std::max(near * all / static_cast<double>(rows) - time.key * static_cast<double>(rows) / 2, 0.0);

  const Transformer head(config, weights, kernels);
  Matrix logits(std::min(kLogitRows, rows), config.vocab_size);
  const auto of_rows = [&](std::int64_t n) {
    return BestSeconds(2, [&] { head.Logits(ConstRows(hidden).Slice(0, n), Rows(logits).Slice(0, n)); });
  };
  time.logits = of_rows(logits.rows()) / static_cast<double>(logits.rows());
  time.write = seconds(layers, 1, 0, 3) * all + of_rows(1);
  return time;
}

}  // namespace longspan
