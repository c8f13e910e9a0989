// How a model is trained.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/yaml_section.h"

namespace longspan {

enum class AdapterKind { kFull, kLora, kRsLora };
enum class ScheduleKind { kConstant, kCosine };

std::string_view Name(AdapterKind kind);   // "full", "lora", "rslora"
std::string_view Name(ScheduleKind kind);  // "constant", "cosine"

struct TrainOptions {
  AdapterKind adapter = AdapterKind::kRsLora;
  std::int64_t rank = 64;
  double alpha = 64;
  double dropout = 0;                                       // of an adapter's input
  std::vector<std::string> targets = {"q", "k", "v", "o"};  // of q k v o gate up down

  double learning_rate = 0;
  ScheduleKind schedule = ScheduleKind::kCosine;
  double min_learning_rate_ratio = 0.1;  // where cosine ends, as a share of learning_rate
  std::int64_t warmup = 0;               // steps
  std::int64_t steps = 0;
  std::int64_t batch_size = 1;  // examples a pass
  std::int64_t gradient_accumulation = 1;
  double weight_decay = 0;  // of matrices; norms are spared
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double max_grad_norm = 1;  // 0: no clipping
  bool recompute = true;     // keep only each block's input, and run the block again on the way back
  std::uint64_t seed = 42;
  std::int64_t checkpoint_every = 100;  // steps
  double checkpoint_minutes = 10;       // a checkpoint is due after so long, too; 0: by steps alone
  std::int64_t eval_every = 50;
  std::int64_t eval_examples = 32;

  std::int64_t ExamplesPerStep() const { return batch_size * gradient_accumulation; }
};

// Everything in the options that the result depends on, as text: how often a run is saved or evaluated is
// not.
std::string Describe(const TrainOptions& options);

// Reads the keys of a `train` section. The number of steps is left to the caller, who may count in epochs.
TrainOptions ReadTrainOptions(YamlSection& section);

}  // namespace longspan
