#include "benchmark/training_time.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/cancel.h"
#include "base/parallel.h"
#include "base/random.h"
#include "benchmark/cost.h"
#include "benchmark/seconds.h"
#include "model/batch.h"
#include "train/network.h"
#include "train/training_memory.h"

namespace longspan {
namespace {

constexpr std::int64_t kProbeRows = 64;
constexpr std::int64_t kMostRows = 512;               // of a part: products gain nothing from more
constexpr std::int64_t kOptimizerElements = 1 << 22;  // values that AdamW is measured on

Batch RandomBatch(std::int64_t sequences, std::int64_t length, std::int64_t vocab_size) {
  Random random(0, 1, RandomPurpose::kSynthetic);
  Batch batch(sequences, length);
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    batch.tokens[i] = static_cast<std::int32_t>(random.Below(vocab_size));
    batch.targets[i] = static_cast<std::int32_t>(random.Below(vocab_size));
    batch.positions[i] = static_cast<std::int32_t>(i % length);
  }
  return batch;
}

// The model's first layers, with its embedding and head.
struct Part {
  LlamaConfig config;
  Weights weights;

  Part(const LlamaConfig& whole, const Weights& all, std::int64_t layers) : config(whole), weights(all) {
    config.layers = layers;
    weights.layers.resize(layers);
  }
};

struct PassSeconds {
  double pass = 0, forward = 0;
};

PassSeconds TimePass(const Part& part, const TrainOptions& options, std::int64_t sequences,
                     std::int64_t length, const Kernels& kernels, int repetitions) {
  Network network(part.config, part.weights, options, kernels);
  const Batch batch = RandomBatch(sequences, length, part.config.vocab_size);
  const DropoutStep dropout{true, options.seed, 0};
  network.ForwardBackward(batch, 1.0f, dropout);  // brings the weights from the file, and memory
  PassSeconds best;
  best.pass = BestSeconds(repetitions, [&] { network.ForwardBackward(batch, 1.0f, dropout); });
  best.forward = BestSeconds(repetitions, [&] { network.Forward(batch); });
  return best;
}

// Attention of one sequence of `length` tokens in one layer, forward and back, all heads.
struct AttentionSeconds {
  double forward = 0, backward = 0;
};

AttentionSeconds TimeAttention(const LlamaConfig& config, std::int64_t length, const Kernels& kernels) {
  // Measures as many heads as keep the threads busy. The others take as long.
  const std::int64_t kv_heads = std::min<std::int64_t>(config.kv_heads, Threads()),
                     group = config.heads / config.kv_heads;
  const std::int64_t window = config.sliding_window;
  const AttentionShape shape{kv_heads * group, kv_heads, config.head_dim,
                             1.0f / std::sqrt(static_cast<float>(config.head_dim)),
                             window > 0 ? window : AttentionShape::kNoWindow};
  // Beyond this length a measurement takes seconds. The time grows with the square of the length.
  const std::int64_t measured = std::min<std::int64_t>(length, 4096);
  Matrix q(measured, shape.heads * shape.head_dim), k(measured, kv_heads * shape.head_dim),
      v(k.rows(), k.cols());
  Random random(0, 2, RandomPurpose::kSynthetic);
  for (Matrix* m : {&q, &k, &v}) {
    for (float& x : m->span()) x = random.Normal();
  }
  Matrix out(q.rows(), q.cols()), lse(shape.heads, measured), dq(q.rows(), q.cols()), dk(k.rows(), k.cols()),
      dv(k.rows(), k.cols());
  const AttentionInput input{q, KvView::OfRows(k, v, shape.head_dim)};
  const std::vector<AttentionSequence> sequences{{input, out, lse}};
  const std::vector<AttentionBackwardSequence> back{{input, out, lse, q, dq, dk, dv}};
  AttentionSeconds best;
  best.forward = BestSeconds(2, [&] { kernels.Attention(shape, sequences); });
  best.backward = BestSeconds(1, [&] { kernels.AttentionBackward(shape, back); });

  const double scale = static_cast<double>(config.kv_heads) / static_cast<double>(kv_heads) *
                       AttentionOperations(config, length, 0) / AttentionOperations(config, measured, 0);
  best.forward *= scale;
  best.backward *= scale;
  return best;
}

double TimeOptimizer(std::int64_t parameters, const Kernels& kernels) {
  const std::int64_t n = std::min(parameters, kOptimizerElements);
  Matrix gradient(1, n), m(1, n), v(1, n), value(1, n);
  const AdamWStep step{1e-3f, 0.9f, 0.95f, 1e-8f, 0, 0.1f, 0.05f};
  const double seconds = BestSeconds(3, [&] {
    kernels.SumOfSquares(gradient.span());
    kernels.AdamW(step, gradient.span(), m.span(), v.span(), value.span());
  });
  return seconds * static_cast<double>(parameters) / static_cast<double>(n);
}

}  // namespace

TrainingTime MeasureTrainingTime(const LlamaConfig& config, const Weights& weights,
                                 const TrainOptions& options, std::int64_t length, const Kernels& kernels,
                                 double budget) {
  TrainingTime time;
  time.optimizer = TimeOptimizer(TrainedParameters(config, options), kernels);
  const std::int64_t rows = options.batch_size * length;

  // A probe tells what a whole batch would take.
  const std::int64_t probe = std::min(kProbeRows, rows), layers = std::min<std::int64_t>(2, config.layers);
  const double of_probe = TimePass(Part(config, weights, layers), options, 1, probe, kernels, 1).pass;
  LlamaConfig part = config;
  part.layers = layers;
  const auto operations = [&](const LlamaConfig& c, std::int64_t sequences, std::int64_t n) {
    return static_cast<double>(sequences) * ForwardOperations(c, n, 0) + LogitsOperations(c, sequences * n);
  };
  const double whole = of_probe * operations(config, options.batch_size, length) / operations(part, 1, probe);
  // A caller may have only the first layers of the model.
  if (3 * whole < budget && std::ssize(weights.layers) == config.layers) {
    const PassSeconds seconds =
        TimePass(Part(config, weights, config.layers), options, options.batch_size, length, kernels, 2);
    time.pass = seconds.pass;
    time.forward = seconds.forward;
    return time;
  }

  // The two runs, with one layer and with two, each make a pass to warm up, a timed pass and a timed forward
  // pass: about 2.3 passes.
  time.extrapolated = true;
  const double row = of_probe / static_cast<double>(probe);
  const auto affordable = static_cast<std::int64_t>(budget / (row * 2.3 * 1.6));
  const std::int64_t n =
      std::clamp<std::int64_t>(affordable / 64 * 64, std::min(probe, rows), std::min(kMostRows, rows));
  const PassSeconds one = TimePass(Part(config, weights, 1), options, 1, n, kernels, 1);
  const PassSeconds two =
      config.layers > 1 ? TimePass(Part(config, weights, 2), options, 1, n, kernels, 1) : one;
  const AttentionSeconds near = TimeAttention(config, n, kernels),
                         far = TimeAttention(config, length, kernels);
  const double more = static_cast<double>(rows) / static_cast<double>(n);
  const double forwards = options.recompute ? 2 : 1;
  const auto total = [&](double with_one, double with_two, double near_attention, double far_attention) {
    const double layer = config.layers > 1 ? std::max(with_two - with_one, 0.0) : with_one;
    const double head = config.layers > 1 ? std::max(with_one - layer, 0.0) : 0;
    const double products = std::max(layer - near_attention, 0.0);
    return head * more + static_cast<double>(config.layers) *
                             (products * more + static_cast<double>(options.batch_size) * far_attention);
  };
  time.pass = total(one.pass, two.pass, forwards * near.forward + near.backward,
                    forwards * far.forward + far.backward);
  time.forward = total(one.forward, two.forward, near.forward, far.forward);
  return time;
}

}  // namespace longspan
