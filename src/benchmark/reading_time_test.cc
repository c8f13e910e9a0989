#include "benchmark/reading_time.h"

#include <gtest/gtest.h>

#include "base/testing/sanitizers.h"
#include "benchmark/benchmark.h"
#include "model/testing/small_config.h"
#include "model/transformer.h"

namespace longspan {
namespace {

TEST(ReadingTime, GrowsWithTheSquareOfALength) {
  ReadingTime time;
  time.token = 1e-3;
  time.key = 1e-6;
  EXPECT_NEAR(time.Read(1000), 1 + 0.5, 1e-9);
  EXPECT_NEAR(time.Read(2000), time.Read(1000) + time.Read(1000, 1000), 1e-9);
}

// Compared with what `bench` measures. Tests share a machine with others, so only a gross mistake can be told
// from noise.
TEST(MeasureReadingTime, IsWhatAPromptTakes) {
  LlamaConfig config = oracle::SmallConfig();
  config.vocab_size = 500;
  config.dim = 128;
  config.head_dim = 32;
  config.hidden_dim = 384;
  config.layers = 6;
  const Weights weights = RandomWeights(config, 5);
  const Kernels& kernels = ChooseKernels("auto");
  const Transformer model(config, weights, kernels);
  BenchmarkOptions options;
  options.depths = {0};
  options.prompt = kSanitized ? 512 : 8192;
  options.repetitions = 1;
  double measured = 0;
  for (const BenchmarkResult& r : MeasureModel(model, options)) {
    if (r.work == BenchmarkWork::kPrompt) measured = r.BestSeconds();
  }
  // All layers, and one of them.
  for (const double budget : {1000.0, 1e-6}) {
    const double planned =
        MeasureReadingTime(config, weights, options.prompt, kernels, budget).Read(options.prompt);
    EXPECT_GT(planned, measured / 3) << budget;
    EXPECT_LT(planned, measured * 3) << budget;
  }
}

}  // namespace
}  // namespace longspan
