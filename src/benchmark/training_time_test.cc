#include "benchmark/training_time.h"

#include <gtest/gtest.h>

#include "base/cancel.h"
#include "base/error.h"
#include "model/testing/small_config.h"

namespace longspan {
namespace {

LlamaConfig Config() {
  LlamaConfig c = oracle::SmallConfig();
  c.vocab_size = 500;
  c.dim = 128;
  c.head_dim = 32;
  c.hidden_dim = 384;
  c.layers = 6;
  return c;
}

TrainOptions Options() {
  TrainOptions o;
  o.rank = 16;
  o.batch_size = 2;
  o.gradient_accumulation = 3;
  return o;
}

// A part of the model predicts what the whole takes. Tests share a machine with others, so only a gross
// mistake, a factor that was forgotten, can be told from noise.
TEST(MeasureTrainingTime, APartSaysWhatTheWholeTakes) {
  const LlamaConfig config = Config();
  const Weights weights = RandomWeights(config, 5);
  const Kernels& kernels = ChooseKernels("auto");
  const TrainingTime whole = MeasureTrainingTime(config, weights, Options(), 2048, kernels, 1000);
  const TrainingTime part = MeasureTrainingTime(config, weights, Options(), 2048, kernels, 1e-3);
  EXPECT_FALSE(whole.extrapolated);
  EXPECT_TRUE(part.extrapolated);
  EXPECT_GT(part.pass, whole.pass / 3);
  EXPECT_LT(part.pass, whole.pass * 3);
  EXPECT_LT(whole.forward, whole.pass);
  EXPECT_LT(part.forward, part.pass);
}

TEST(MeasureTrainingTime, AStepIsItsPassesAndTheOptimizer) {
  TrainingTime time;
  time.pass = 2;
  time.optimizer = 0.5;
  EXPECT_DOUBLE_EQ(time.Step(Options()), 6.5);
}

TEST(MeasureTrainingTime, CanBeCancelled) {
  const LlamaConfig config = Config();
  RequestCancel();
  EXPECT_THROW(MeasureTrainingTime(config, RandomWeights(config, 5), Options(), 256, ChooseKernels("auto")),
               Error);
  ClearCancel();
}

}  // namespace
}  // namespace longspan
