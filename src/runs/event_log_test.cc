#include "runs/event_log.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Messages : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

class EventLogTest : public ::testing::Test {
 protected:
  // All files of the run, one after the other.
  std::string Written() const {
    std::string all;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "runs", error))
      all += ReadFile(entry.path());
    return all;
  }

  TestFolder folder_;
  Messages messages_;
};

TEST_F(EventLogTest, TagsAreThoseOfHuggingFace) {
  const TrainLogPoint point{10, 4096, 3.5, 1e-3, 0.7, 12, 3.25};
  std::vector<std::string> tags;
  for (const Scalar& scalar : EventLog::ScalarsOf(point, 4))
    tags.push_back(fmt::format("{}={}", scalar.tag, scalar.value));
  EXPECT_THAT(tags, ElementsAre("train/loss=3.5", "train/grad_norm=0.7", "train/learning_rate=0.001",
                                "train/num_input_tokens_seen=4096", "train/epoch=2.5", "eval/loss=3.25"));
}

TEST_F(EventLogTest, ARunIsWrittenStepByStep) {
  EventLog log(folder_ / "runs", "rank: 8\nalpha: 2", 4, messages_);
  TrainState state;
  log.Begin(state);
  EXPECT_EQ(Written(), "");
  state.log.points.push_back({1, 512, 3.5, 1e-3, 0.7, 12, {}});
  log.Step(state.log.points.back());
  EXPECT_THAT(Written(), HasSubstr("train/loss"));
  EXPECT_THAT(Written(), HasSubstr("    rank: 8\n    alpha: 2"));
  EXPECT_THAT(Written(), Not(HasSubstr("train_runtime")));
  state.step = 1;
  state.seconds = 12;
  log.End(state);
  EXPECT_THAT(Written(), HasSubstr("train/train_runtime"));
  EXPECT_THAT(messages_.lines, ElementsAre());
}

TEST_F(EventLogTest, ARunThatIsDoneAlreadyLeavesNothing) {
  EventLog log(folder_ / "runs", "", 4, messages_);
  TrainState state;
  state.step = 8;
  log.Begin(state);
  log.End(state);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

TEST_F(EventLogTest, AFailureIsToldOnceAndEndsNoRun) {
  WriteFile(folder_ / "runs", "in the way");
  EventLog log(folder_ / "runs", "", 4, messages_);
  log.Begin({});
  for (int i = 0; i < 3; ++i) log.Step({});
  log.End({});
  EXPECT_THAT(messages_.lines, ElementsAre(HasSubstr("runs")));
}

}  // namespace
}  // namespace longspan
