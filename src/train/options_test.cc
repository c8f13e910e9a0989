#include "train/options.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/testing/expect_error.h"
#include "model/linears.h"

namespace longspan {
namespace {

TEST(TrainOptions, DescribeHoldsWhatTheResultDependsOn) {
  const std::string before = Describe(TrainOptions{});
  TrainOptions options;
  options.checkpoint_every = 1;
  options.checkpoint_minutes = 1;
  options.eval_every = 1;
  options.eval_examples = 1;
  options.recompute = false;
  EXPECT_EQ(Describe(options), before);
  const auto changed = [&](auto member, auto value) {
    TrainOptions other;
    other.*member = value;
    return Describe(other) != before;
  };
  EXPECT_TRUE(changed(&TrainOptions::rank, 8));
  EXPECT_TRUE(changed(&TrainOptions::alpha, 8));
  EXPECT_TRUE(changed(&TrainOptions::adapter, AdapterKind::kLora));
  EXPECT_TRUE(changed(&TrainOptions::schedule, ScheduleKind::kConstant));
  EXPECT_TRUE(changed(&TrainOptions::steps, 8));
  EXPECT_TRUE(changed(&TrainOptions::learning_rate, 1e-4));
  EXPECT_TRUE(changed(&TrainOptions::seed, 8));
  EXPECT_TRUE(changed(&TrainOptions::precision, Precision::kExact));
  EXPECT_TRUE(changed(&TrainOptions::targets, std::vector<std::string>{"q"}));
}

TEST(TrainOptions, PrecisionDecidesTheKernels) {
  EXPECT_EQ(&TrainingKernels(Precision::kExact, "auto"), &ChooseKernels("auto"));
  EXPECT_EQ(&TrainingKernels(Precision::kAuto, "reference"), &ReferenceKernels());
  EXPECT_EQ(&TrainingKernels(Precision::kAuto, "auto") == &ChooseKernels("auto"), !HasBf16("auto"));
  EXPECT_EQ(KindOf([] { TrainingKernels(Precision::kBf16, "reference"); }), ErrorKind::kBadOption);
}

// A learning rate that differs in its last digit is another one.
TEST(TrainOptions, DescribeKeepsEveryDigit) {
  TrainOptions a, b;
  a.learning_rate = 1e-5;
  b.learning_rate = std::nextafter(1e-5, 1);
  EXPECT_NE(Describe(a), Describe(b));
}

// The projections that people may name are a block's linear layers.
TEST(TrainOptions, TargetsAreParts) {
  TrainOptions options;
  options.targets.assign(kProjections.begin(), kProjections.end());
  std::vector<Part> linears;
  for (const LinearPart& l : kLinears) linears.push_back(l.part);
  EXPECT_EQ(options.TargetParts(), linears);
  options.targets = {"down", "q"};
  EXPECT_EQ(options.TargetParts(), (std::vector<Part>{Part::kDown, Part::kQ}));
  for (const char* name : {"", "x", "embedding", "q_bias", "mlp_norm", "layers.0.q"}) {
    options.targets = {name};
    EXPECT_EQ(KindOf([&] { options.TargetParts(); }), ErrorKind::kInternal) << name;
  }
}

}  // namespace
}  // namespace longspan
