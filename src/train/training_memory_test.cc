#include "train/training_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/parallel.h"
#include "base/testing/sanitizers.h"
#include "kernels/kernels.h"
#include "model/weights.h"
#include "train/network.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

LlamaConfig Config() {
  LlamaConfig c = oracle::SmallConfig();
  c.vocab_size = 2000;
  c.dim = 128;
  c.head_dim = 32;
  c.hidden_dim = 384;
  c.layers = 6;
  return c;
}

TrainOptions Options(AdapterKind adapter) {
  TrainOptions o = ToyOptions(adapter);
  o.rank = 32;
  o.batch_size = 2;
  o.targets = {"q", "k", "v", "o", "gate", "down"};
  return o;
}

// By how many bytes the process grows from before the network until after a whole step. In a process of its
// own, because memory that an earlier test gave back would be used again without being seen.
double MeasuredBytes(const LlamaConfig& config, const TrainOptions& options, std::int64_t length) {
  int ends[2];
  if (::pipe(ends) != 0) return 0;
  if (::fork() == 0) {
    const Weights base = RandomWeights(config, 3);
    const auto resident = [] {
      std::ifstream file("/proc/self/status");
      for (std::string line; std::getline(file, line);) {
        if (line.starts_with("VmHWM:")) return 1024.0 * std::stod(line.substr(6));
      }
      return 0.0;
    };
    { std::ofstream("/proc/self/clear_refs") << 5; }  // the peak begins anew
    const double before = resident();
    Network network(config, base, options, ChooseKernels("auto"));
    network.ForwardBackward(RandomBatch(options.batch_size, length, config.vocab_size), 1.0f, {true, 1, 0});
    OptimizerStep(ChooseKernels("auto"), options, options.learning_rate, 0, 1, network.parameters());
    const double grown = resident() - before;
    [[maybe_unused]] const auto written = ::write(ends[1], &grown, sizeof(grown));
    ::_exit(0);
  }
  double grown = 0;
  ::close(ends[1]);
  EXPECT_EQ(::read(ends[0], &grown, sizeof(grown)), sizeof(grown));
  ::close(ends[0]);
  ::wait(nullptr);
  return grown;
}

TEST(TrainingMemory, IsWhatARunTakes) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory is not in the plan";
  const LlamaConfig config = Config();
  constexpr std::int64_t kLength = 4096;
  for (const AdapterKind adapter : {AdapterKind::kRsLora, AdapterKind::kFull}) {
    for (const bool recompute : {true, false}) {
      for (const double dropout : {0.0, 0.1}) {
        TrainOptions options = Options(adapter);
        options.recompute = recompute;
        options.dropout = dropout;
        const double planned =
            static_cast<double>(TotalBytes(TrainingMemory(config, options, kLength, Threads())));
        const double measured = MeasuredBytes(config, options, kLength);
        EXPECT_NEAR(planned / measured, 1, 0.15)
            << Name(adapter) << (recompute ? ", recompute" : "") << ", dropout " << dropout << ": planned "
            << planned << ", measured " << measured;
      }
    }
  }
}

TEST(TrainingMemory, CountsWhatIsTrained) {
  const LlamaConfig config = Config();
  for (const AdapterKind adapter : {AdapterKind::kLora, AdapterKind::kRsLora, AdapterKind::kFull}) {
    const TrainOptions options = Options(adapter);
    const Network network(config, RandomWeights(config, 3), options, ChooseKernels("auto"));
    EXPECT_EQ(TrainedParameters(config, options), network.TrainedParameters()) << Name(adapter);
  }
}

// Llama 3 8B with rank 256 on q, k, v and o, and documents of 8,192 tokens.
TEST(TrainingMemory, OfTheCardsRunFits24Gigabytes) {
  LlamaConfig config;
  config.vocab_size = 128'256;
  config.dim = 4096;
  config.layers = 32;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.hidden_dim = 14'336;
  TrainOptions options;
  options.rank = 256;
  options.dropout = 0.1;
  const auto parts = TrainingMemory(config, options, 8192, 8);
  EXPECT_LT(TotalBytes(parts), std::int64_t{12} << 30);
  // Keeping the activations of all layers would take far too much.
  options.recompute = false;
  EXPECT_GT(TotalBytes(TrainingMemory(config, options, 8192, 8)), std::int64_t{60} << 30);
}

}  // namespace
}  // namespace longspan
