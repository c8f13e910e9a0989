// How a model is trained.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/schema.h"
#include "kernels/kernels.h"
#include "model/weight_id.h"
#include "train/stage.h"

namespace longspan {

enum class AdapterKind { kFull, kLora, kRsLora };
enum class ScheduleKind { kConstant, kCosine };
// AdamW, with its moments in F32 or in 8 bits (kernels/byte_moments.h).
enum class OptimizerKind { kAdamW, kAdamW8Bit };
// What products and attention are computed in: F32, or operands of BF16 and sums in F32 (Activations::kBf16).
enum class Precision { kAuto, kExact, kBf16 };

std::string_view Name(AdapterKind kind);     // "full", "lora", "rslora"
std::string_view Name(ScheduleKind kind);    // "constant", "cosine"
std::string_view Name(OptimizerKind kind);   // "adamw", "adamw_8bit"
std::string_view Name(Precision precision);  // "auto", "exact", "bf16"

struct TrainOptions {
  AdapterKind adapter = AdapterKind::kRsLora;
  std::int64_t rank = 64;
  double alpha = 64;
  double dropout = 0;                                       // of an adapter's input
  std::vector<std::string> targets = {"q", "k", "v", "o"};  // of q k v o gate up down
  std::vector<std::int64_t> layers;                         // that get an adapter, from 0; empty: all
  double lora_plus = 1;                                     // rate of B over that of A (Hayou et al. 2024)

  double learning_rate = 0;
  ScheduleKind schedule = ScheduleKind::kCosine;
  double min_learning_rate_ratio = 0.1;  // where cosine ends, as a share of learning_rate
  std::int64_t warmup = 0;               // steps
  std::int64_t steps = 0;
  std::int64_t batch_size = 1;  // examples a pass
  std::int64_t gradient_accumulation = 1;
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  double weight_decay = 0;  // of matrices; norms are spared
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double max_grad_norm = 1;  // 0: no clipping
  double spike_factor =
      0;  // a step whose gradient's norm is so many times the recent ones' is left out; 0: none
  std::int64_t max_skipped = 5;  // steps in a row that are left out before the run stops
  Precision precision = Precision::kAuto;
  bool recompute = true;  // keep only each block's input, and run the block again on the way back
  std::uint64_t seed = 42;
  std::int64_t checkpoint_every = 100;  // steps
  std::int64_t checkpoints_kept = 2;    // the latest one included
  double checkpoint_minutes = 10;       // a checkpoint is due after so long, too; 0: by steps alone
  std::int64_t eval_every = 50;
  std::int64_t eval_examples = 32;

  std::int64_t ExamplesPerStep() const { return batch_size * gradient_accumulation; }
  bool Adapts(std::int64_t layer) const {
    return layers.empty() || std::ranges::find(layers, layer) != layers.end();
  }
  // `targets` as parts. Error(kInternal) for a name that is no projection's; readers of recipes refuse those.
  std::vector<Part> TargetParts() const;
};

// The names of the projections that an adapter can sit on.
inline constexpr std::array<std::string_view, 7> kProjections{"q", "k", "v", "o", "gate", "up", "down"};

template <>
inline constexpr int kEnumSize<AdapterKind> = 3;
template <>
inline constexpr int kEnumSize<ScheduleKind> = 2;
template <>
inline constexpr int kEnumSize<OptimizerKind> = 2;
template <>
inline constexpr int kEnumSize<Precision> = 3;

// The keys of a `train` section.
template <Is<TrainOptions> T>
void Fields(T& f, auto& visit) {
  constexpr unsigned result = kTrainStage;
  visit(
      Key{.name = "adapter",
          .help = "What is trained: a low-rank adapter, scaled by alpha / rank (lora) or alpha / sqrt(rank) "
                  "(rslora), or all weights (full)",
          .otherwise = "rslora; full for a new model",
          .changes = result | kMergeStage},
      f.adapter);
  visit(Key{.name = "rank", .help = "Rank of the adapter", .range = Range{1, 65'536}, .changes = result},
        f.rank);
  visit(Key{.name = "alpha",
            .help = "Numerator of the adapter's scale",
            .range = Range{1e-6, 1e6},
            .otherwise = "the rank",
            .changes = result},
        f.alpha);
  visit(Key{.name = "dropout",
            .help = "Share of the adapter's inputs that a step leaves out",
            .range = Range{0, 0.95},
            .changes = result},
        f.dropout);
  visit(Key{.name = "targets",
            .help = "Projections that get an adapter: q, k, v, o, gate, up, down",
            .changes = result},
        f.targets);
  visit(Key{.name = "layers",
            .help = "Layers that get an adapter, counted from 0",
            .otherwise = "all",
            .changes = result},
        f.layers);
  visit(Key{.name = "lora_plus",
            .help = "Rate of an adapter's B over that of its A (LoRA+); 1: the same",
            .range = Range{1e-6, 1e6},
            .changes = result},
        f.lora_plus);
  visit(Key{.name = "learning_rate",
            .help = "Peak of the learning rate; about 1e-5 for a large model, 1e-3 for a small one",
            .range = Range{0, 10},
            .changes = result,
            .required = kEverybody},
        f.learning_rate);
  visit(Key{.name = "schedule", .help = "How the rate goes on after the warmup", .changes = result},
        f.schedule);
  visit(Key{.name = "min_learning_rate_ratio",
            .help = "Where a cosine schedule ends, as a share of the peak",
            .range = Range{0, 1},
            .changes = result},
        f.min_learning_rate_ratio);
  visit(Key{.name = "warmup",
            .help = "Steps in which the rate rises to its peak",
            .unit = "steps",
            .range = Range{0, kNoLimit},
            .changes = result},
        f.warmup);
  visit(Key{.name = "steps",
            .help = "Optimizer steps; give either steps or epochs",
            .unit = "steps",
            .range = Range{1, kNoLimit},
            .otherwise = "from epochs",
            .changes = result},
        f.steps);
  visit(Key{.name = "batch_size",
            .help = "Examples in a pass; more need more memory",
            .unit = "examples",
            .range = Range{1, 1 << 20},
            .changes = result},
        f.batch_size);
  visit(Key{.name = "gradient_accumulation",
            .help = "Passes whose gradients make one step",
            .unit = "passes",
            .range = Range{1, 1 << 20},
            .changes = result},
        f.gradient_accumulation);
  visit(Key{.name = "optimizer",
            .help = "adamw, or adamw_8bit: its moments in 8 bits, which takes 2 bytes for each trained value "
                    "instead of 8 (embeddings and small ones stay in F32)",
            .changes = result},
        f.optimizer);
  visit(Key{.name = "weight_decay",
            .help = "Weight decay of matrices; norms are spared",
            .range = Range{0, 10},
            .changes = result},
        f.weight_decay);
  visit(Key{.name = "beta1",
            .help = "AdamW's decay of the mean",
            .range = Range{0, 0.99999},
            .changes = result},
        f.beta1);
  visit(Key{.name = "beta2",
            .help = "AdamW's decay of the mean square",
            .range = Range{0, 0.99999},
            .changes = result},
        f.beta2);
  visit(Key{.name = "epsilon",
            .help = "AdamW's term against division by zero",
            .range = Range{1e-12, 1},
            .changes = result},
        f.epsilon);
  visit(Key{.name = "max_grad_norm",
            .help = "Norm to which gradients are clipped; 0: no clipping",
            .range = Range{0, 1e9},
            .changes = result},
        f.max_grad_norm);
  visit(
      Key{.name = "spike_factor",
          .help = "Leave out a step whose gradient's norm is more than so many times the median of the steps "
                  "before it; 0: none. One whose gradient is no number is always left out",
          .range = Range{0, 1e9},
          .changes = result},
      f.spike_factor);
  visit(Key{.name = "max_skipped",
            .help = "Steps in a row that may be left out; one more, and the run stops",
            .unit = "steps",
            .range = Range{0, kNoLimit}},
        f.max_skipped);
  visit(Key{.name = "precision",
            .help = "What products and attention are computed in: exact (F32), bf16 (operands rounded to "
                    "BF16, sums in F32; more than twice as fast), or auto: bf16 where the processor has "
                    "instructions for it",
            .changes = result},
        f.precision);
  visit(
      Key{.name = "recompute",
          .help = "Keep only each layer's input and run the layer again on the way back: far less memory, a "
                  "quarter more time"},
      f.recompute);
  visit(
      Key{.name = "seed", .help = "Seed of the order of examples, positions and dropout", .changes = result},
      f.seed);
  visit(Key{.name = "checkpoint_every",
            .help = "Steps between checkpoints",
            .unit = "steps",
            .range = Range{1, kNoLimit}},
        f.checkpoint_every);
  visit(Key{.name = "checkpoints_kept",
            .help = "Checkpoints that are kept, the latest included, so that a damaged one costs no run",
            .unit = "checkpoints",
            .range = Range{1, 1000}},
        f.checkpoints_kept);
  visit(Key{.name = "checkpoint_minutes",
            .help = "Longest time between checkpoints; 0: by steps alone",
            .unit = "minutes",
            .range = Range{0, 1e6}},
        f.checkpoint_minutes);
  visit(Key{.name = "eval_every",
            .help = "Steps between measurements of the validation loss",
            .unit = "steps",
            .range = Range{1, kNoLimit}},
        f.eval_every);
  visit(Key{.name = "eval_examples",
            .help = "Examples that the validation loss is measured on; 0: none",
            .unit = "examples",
            .range = Range{0, kNoLimit}},
        f.eval_examples);
}

// The kernels that training computes with, of instruction set `isa` as ChooseKernels takes it.
// Error(kBadOption), naming `recipe`, where `precision` is bf16 and this machine or `isa` has none.
const Kernels& TrainingKernels(Precision precision, std::string_view isa, std::string_view recipe = "recipe");

// Everything in the options that the result depends on, as text. How often a run is saved or evaluated is
// left out.
std::string Describe(const TrainOptions& options);

}  // namespace longspan
