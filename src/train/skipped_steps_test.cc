#include "train/skipped_steps.h"

#include <gmock/gmock.h>

#include <limits>

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TrainLogPoint Point(double loss, double grad_norm) {
  TrainLogPoint point;
  point.loss = loss;
  point.grad_norm = grad_norm;
  return point;
}

TrainLog Usual(std::int64_t steps) {
  TrainLog log;
  for (std::int64_t i = 0; i < steps; ++i)
    log.points.push_back(Point(3, 1 + 0.01 * static_cast<double>(i % 3)));
  return log;
}

TEST(SkippedSteps, WhatIsNoNumber) {
  for (const double bad : {kNaN, kInfinity}) {
    EXPECT_THAT(ReasonToSkip({}, Point(bad, 1), 0), HasSubstr("loss"));
    EXPECT_THAT(ReasonToSkip({}, Point(1, bad), 0), HasSubstr("gradient"));
  }
  EXPECT_THAT(ReasonToSkip({}, Point(1, 1e30), 0), IsEmpty());
}

TEST(SkippedSteps, ASpikeStandsOutAmongEnoughSteps) {
  EXPECT_THAT(ReasonToSkip(Usual(16), Point(3, 10), 5),
              HasSubstr("norm, 10, is over 5 times the usual 1.01"));
  EXPECT_THAT(ReasonToSkip(Usual(15), Point(3, 10), 5), IsEmpty());
  EXPECT_THAT(ReasonToSkip(Usual(16), Point(3, 5), 5), IsEmpty());
  EXPECT_THAT(ReasonToSkip(Usual(16), Point(3, 10), 0), IsEmpty());
}

// Otherwise spikes would soon be usual.
TEST(SkippedSteps, StepsThatWereLeftOutDoNotCount) {
  TrainLog log = Usual(20);
  for (int i = 0; i < 100; ++i) {
    log.points.push_back(Point(i % 2 == 0 ? kNaN : 3, 50));
    log.points.back().skipped = true;
  }
  EXPECT_THAT(ReasonToSkip(log, Point(3, 10), 5), HasSubstr("usual"));
  EXPECT_THAT(ReasonToSkip(log, Point(3, 2), 5), IsEmpty());
}

TEST(SkippedSteps, OnlyTheLastStepsAreUsual) {
  TrainLog log;
  for (int i = 0; i < 100; ++i) log.points.push_back(Point(3, 100));
  for (int i = 0; i < 64; ++i) log.points.push_back(Point(3, 1));
  EXPECT_THAT(ReasonToSkip(log, Point(3, 10), 5), HasSubstr("usual 1"));
}

}  // namespace
}  // namespace longspan
