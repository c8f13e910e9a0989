#include "benchmark/reading_time.h"

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "benchmark/cost.h"
#include "benchmark/random_depth.h"
#include "benchmark/seconds.h"
#include "benchmark/slim_layer.h"
#include "infer/session.h"
#include "model/kv_cache.h"
#include "model/transformer.h"

namespace longspan {
namespace {

constexpr std::int64_t kProbeRows = 64, kLogitRows = 64;
constexpr double kProbeShare = 1.0 / 64;  // of a layer
constexpr std::int64_t kDeepest = 8192;   // where the cost of depth is measured; it grows linearly beyond

}  // namespace

ReadingTime MeasureReadingTime(const LlamaConfig& config, const Weights& weights, std::int64_t longest,
                               const Kernels& kernels, double budget) {
  const std::int64_t rows = std::min(Session::kChunk, longest);
  Matrix hidden(rows, config.dim);

  // The seconds that a part of the model takes for `count` tokens after `depth` others.
  const auto seconds = [&](const SlimLayer& part, std::int64_t count, std::int64_t depth, int repetitions) {
    const Transformer model(part.config, part.weights, kernels);
    KvCache cache(part.config);
    if (depth > 0) AppendRandom(kernels, depth, cache);
    std::vector<std::int32_t> tokens(count);
    Random random(0, 3, RandomPurpose::kSynthetic);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.Below(part.config.vocab_size));
    const auto pass = [&] {
      cache.Truncate(depth);
      model.Forward(tokens, cache, Rows(hidden).Slice(0, count));
    };
    pass();  // brings the weights from the file
    return BestSeconds(repetitions, pass);
  };
  // How many times the operations of a part the whole model has. Products and attention shrink alike.
  const auto times = [&](const SlimLayer& part) {
    return ForwardOperations(config, 1, 0) / ForwardOperations(part.config, 1, 0);
  };

  // A part that takes a seventh of the budget, because about seven passes follow: several layers, or less
  // than one.
  const SlimLayer probe = MakeSlimLayer(config, weights, kProbeShare);
  const std::int64_t probe_rows = std::min<std::int64_t>(rows, kProbeRows);
  const double of_layer = seconds(probe, probe_rows, 0, 1) * times(probe) /
                          static_cast<double>(config.layers) * static_cast<double>(rows) /
                          static_cast<double>(probe_rows);
  const double affordable = budget / (7 * of_layer);
  SlimLayer part = MakeSlimLayer(config, weights, std::min(1.0, affordable));
  if (affordable >= 1) {
    part = {config, weights};
    part.config.layers = std::min(static_cast<std::int64_t>(affordable), std::ssize(weights.layers));
    part.weights.layers.resize(part.config.layers);
  }
  const double all = times(part);
  const std::int64_t depth = std::max<std::int64_t>(rows, std::min(longest, kDeepest));

  ReadingTime time;
  const double near = seconds(part, rows, 0, 2), far = seconds(part, rows, depth, 1);
  const double of_keys = static_cast<double>(config.layers * config.q_dim()) /
                         static_cast<double>(part.config.layers * part.config.q_dim());
  time.key = std::max(far - near, 0.0) * of_keys / (static_cast<double>(rows) * static_cast<double>(depth));
  const double attention = time.key * static_cast<double>(rows) * static_cast<double>(rows) / 2;
  time.token = std::max(near - attention / of_keys, 0.0) * all / static_cast<double>(rows);

  const Transformer head(config, weights, kernels);
  Matrix logits(std::min(kLogitRows, rows), config.vocab_size);
  const auto of_rows = [&](std::int64_t n) {
    return BestSeconds(2, [&] { head.Logits(ConstRows(hidden).Slice(0, n), Rows(logits).Slice(0, n)); });
  };
  time.logits = of_rows(logits.rows()) / static_cast<double>(logits.rows());
  time.write = seconds(part, 1, 0, 3) * all + of_rows(1);
  return time;
}

}  // namespace longspan
