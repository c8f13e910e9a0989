#include "train/schedule.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(Schedule, WarmsUpThenFollowsTheCosine) {
  TrainOptions o;
  o.learning_rate = 2;
  o.warmup = 4;
  o.steps = 105;
  o.min_learning_rate_ratio = 0.1;
  EXPECT_DOUBLE_EQ(LearningRate(o, 0), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(o, 3), 2);
  EXPECT_DOUBLE_EQ(LearningRate(o, 4), 2);
  EXPECT_DOUBLE_EQ(LearningRate(o, 54), 1.1);  // half way between 2 and 0.2
  EXPECT_DOUBLE_EQ(LearningRate(o, 104), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(o, 500), 0.2);
}

TEST(Schedule, ConstantStays) {
  TrainOptions o;
  o.learning_rate = 3;
  o.schedule = ScheduleKind::kConstant;
  o.steps = 10;
  EXPECT_DOUBLE_EQ(LearningRate(o, 0), 3);
  EXPECT_DOUBLE_EQ(LearningRate(o, 9), 3);
}

}  // namespace
}  // namespace longspan
