#include "benchmark/training_time.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/cancel.h"
#include "base/parallel.h"
#include "base/random.h"
#include "benchmark/cost.h"
#include "benchmark/seconds.h"
#include "benchmark/slim_layer.h"
#include "model/batch.h"
#include "model/linears.h"
#include "nn/cross_entropy.h"
#include "train/network.h"
#include "train/training_memory.h"

namespace longspan {
namespace {

constexpr std::int64_t kProbeRows = 64;
constexpr double kProbeShare = 1.0 / 64;   // of a layer
constexpr std::int64_t kMostRows = 1024;   // of a layer: from here on products take as long for each
constexpr std::int64_t kHeadRows = 256;    // as many as the LM head takes at once
constexpr std::int64_t kHeadWords = 4096;  // of the vocabulary: the head's cost grows evenly with it
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

// Products of a pass through the layers, multiplications and additions of each token, attention left out.
double ProductOperations(const LlamaConfig& c, const TrainOptions& o, bool backward) {
  const bool full = o.adapter == AdapterKind::kFull;
  const double forwards = backward && o.recompute ? 2 : 1;
  const std::vector<Part> targets = full ? std::vector<Part>() : o.TargetParts();
  double operations = 0;
  for (const LinearPart& l : kLinears) {
    const auto in = static_cast<double>(Traits(l.part).cols(c)),
               out = static_cast<double>(Traits(l.part).rows(c));
    operations += in * out * (forwards + (backward ? (full ? 2 : 1) : 0));
    if (std::ranges::find(targets, l.part) == targets.end()) continue;
    const auto rank = static_cast<double>(o.rank);
    operations += rank * (in * (forwards + (backward ? 3 : 0)) + out * (forwards + (backward ? 2 : 0)));
  }
  return 2 * static_cast<double>(c.layers) * operations;
}

struct PassSeconds {
  double pass = 0, forward = 0;
};

PassSeconds TimePass(const LlamaConfig& config, const Weights& weights, const TrainOptions& options,
                     std::int64_t sequences, std::int64_t length, const Kernels& kernels, int repetitions) {
  Network network(config, weights, options, kernels);
  const Batch batch = RandomBatch(sequences, length, config.vocab_size);
  const auto pass = [&] { network.ForwardBackward(batch, 1.0f, {true, options.seed, 0}); };
  pass();  // brings the weights from the file, and memory
  PassSeconds best;
  best.pass = BestSeconds(repetitions, pass);
  best.forward = BestSeconds(repetitions, [&] { network.Forward(batch); });
  return best;
}

// Attention of one sequence of `length` tokens in one layer, forward and back, all heads.
struct AttentionSeconds {
  double forward = 0, backward = 0;
};

AttentionSeconds TimeAttention(const LlamaConfig& config, std::int64_t length, const Kernels& kernels) {
  // As many heads as keep the threads busy; the others take as long.
  const std::int64_t kv_heads = std::min<std::int64_t>(config.kv_heads, Threads()),
                     group = config.heads / config.kv_heads;
  const std::int64_t window = config.sliding_window;
  const AttentionShape shape{kv_heads * group, kv_heads, config.head_dim,
                             1.0f / std::sqrt(static_cast<float>(config.head_dim)),
                             window > 0 ? window : AttentionShape::kNoWindow};
  // Longer than this it takes seconds, and grows with the square.
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

Tensor FirstRows(const Tensor& tensor, std::int64_t rows) {
  return {tensor.type(), {rows, tensor.cols()}, tensor.bytes().first(rows * tensor.row_bytes()), nullptr};
}

// The LM head and its loss, on `rows` rows.
PassSeconds TimeHead(const LlamaConfig& config, const Weights& weights, bool full, std::int64_t rows,
                     const Kernels& kernels) {
  const std::int64_t n = std::min(kHeadRows, rows), words = std::min(kHeadWords, config.vocab_size);
  const Tensor given = FirstRows(weights.output, words), head = full ? given.ToF32() : given;
  Matrix hidden(n, config.dim), dhidden(n, config.dim), dhead(full ? words : 0, config.dim);
  const std::vector<std::int32_t> targets(n);
  PassSeconds best;
  best.pass = BestSeconds(2, [&] {
    CrossEntropyBackward(kernels, hidden, head, targets, 1.0f, dhidden, full ? Rows(dhead) : Rows());
  });
  best.forward = BestSeconds(2, [&] { CrossEntropyForward(kernels, hidden, head, targets); });
  const double scale = static_cast<double>(config.vocab_size) / static_cast<double>(words) *
                       static_cast<double>(rows) / static_cast<double>(n);
  best.pass *= scale;
  best.forward *= scale;
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
  const std::int64_t rows = options.batch_size * length, probe_rows = std::min(kProbeRows, rows),
                     measured = std::min(kMostRows, rows);
  const PassSeconds head = TimeHead(config, weights, options.adapter == AdapterKind::kFull, rows, kernels);

  // A probe tells what a whole batch would take.
  const SlimLayer probe = MakeSlimLayer(config, weights, kProbeShare);
  const double of_probe = TimePass(probe.config, probe.weights, options, 1, probe_rows, kernels, 1).pass;
  const double layers = of_probe * static_cast<double>(rows) / static_cast<double>(probe_rows) *
                        ProductOperations(config, options, true) /
                        ProductOperations(probe.config, options, true);
  // A caller may have only the first layers of the model.
  if (3 * (layers + head.pass) < budget && std::ssize(weights.layers) == config.layers) {
    const PassSeconds whole = TimePass(config, weights, options, options.batch_size, length, kernels, 2);
    time.pass = whole.pass;
    time.forward = whole.forward;
    return time;
  }

  // As much of a layer as the budget allows. A pass to warm up, two that count and two forward are about
  // four.
  time.extrapolated = true;
  const double of_layer =
      layers / static_cast<double>(config.layers) * static_cast<double>(measured) / static_cast<double>(rows);
  const SlimLayer slim = MakeSlimLayer(config, weights, std::min(1.0, budget / (4 * of_layer)));
  const PassSeconds part = TimePass(slim.config, slim.weights, options, 1, measured, kernels, 2);
  const AttentionSeconds in_part = TimeAttention(slim.config, measured, kernels),
                         in_whole = TimeAttention(config, length, kernels);
  const double forwards = options.recompute ? 2 : 1;
  const auto passes = [&](const AttentionSeconds& a) { return forwards * a.forward + a.backward; };
  const auto whole = [&](double seconds, bool backward, double attention) {
    return std::max(seconds, 0.0) * static_cast<double>(rows) / static_cast<double>(measured) *
               ProductOperations(config, options, backward) /
               ProductOperations(slim.config, options, backward) +
           static_cast<double>(config.layers * options.batch_size) * attention;
  };
  time.pass = head.pass + whole(part.pass - passes(in_part), true, passes(in_whole));
  time.forward = head.forward + whole(part.forward - in_part.forward, false, in_whole.forward);
  return time;
}

}  // namespace longspan
