#include "train/train_log.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"

namespace longspan {
namespace {

TEST(TrainLog, RoundTripsExactly) {
  TrainLog log;
  log.points = {{1, 512, 1.0 / 3, 1e-4, 0.1 + 0.2, 1e-300, {}}, {2, 1 << 30, 8.25, 0, 0, 3600, 1.0 / 7}};
  const std::string text = log.ToJsonLines();
  EXPECT_EQ(std::ranges::count(text, '\n'), 2);
  const TrainLog back = TrainLog::FromJsonLines(text, "log.jsonl");
  ASSERT_EQ(back.points.size(), 2u);
  EXPECT_EQ(back.points[0].loss, 1.0 / 3);
  EXPECT_EQ(back.points[0].grad_norm, 0.1 + 0.2);
  EXPECT_EQ(back.points[0].seconds, 1e-300);
  EXPECT_FALSE(back.points[0].validation_loss.has_value());
  EXPECT_EQ(back.points[1].tokens, 1 << 30);
  EXPECT_EQ(back.points[1].validation_loss, 1.0 / 7);
  EXPECT_EQ(back.ToJsonLines(), text);
  EXPECT_TRUE(TrainLog::FromJsonLines("", "log.jsonl").points.empty());
}

TEST(TrainLog, StepsThatWereLeftOutMayHaveNoNumbers) {
  TrainLog log;
  log.points = {{1, 1, 2, 1, 1, 1, {}}, {2, 2, NAN, 1, INFINITY, 2, {}}, {3, 3, 2, 1, 70, 3, {}}};
  log.points[1].skipped = log.points[2].skipped = true;
  const std::string text = log.ToJsonLines();
  const TrainLog back = TrainLog::FromJsonLines(text, "log.jsonl");
  EXPECT_TRUE(std::isnan(back.points[1].loss));
  EXPECT_TRUE(std::isnan(back.points[1].grad_norm));
  EXPECT_FALSE(back.points[0].skipped);
  EXPECT_EQ(back.Skipped(), 2);
  EXPECT_EQ(back.SkippedInARow(), 2);
  EXPECT_EQ(back.ToJsonLines(), text);
  log.points[1].skipped = false;
  EXPECT_THROW(TrainLog::FromJsonLines(log.ToJsonLines(), "log.jsonl"), Error);
}

TEST(TrainLog, DamageIsAnErrorThatNamesTheFile) {
  TrainLog log;
  log.points.resize(1);
  const std::string line = log.ToJsonLines();
  for (const std::string& bad :
       {std::string("{"), std::string("[]\n"), std::string("{}\n"), std::string("\n"), line + "x",
        std::string("{\"step\": \"one\"}\n"), line.substr(0, line.size() / 2)}) {
    try {
      TrainLog::FromJsonLines(bad, "log.jsonl");
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
      EXPECT_THAT(error.what(), testing::HasSubstr("log.jsonl"));
    }
  }
}

}  // namespace
}  // namespace longspan
