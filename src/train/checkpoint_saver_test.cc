#include "train/checkpoint_saver.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "base/cancel.h"
#include "base/file.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Messages : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

// A saver of one small parameter, at a time of the test's choice.
class SaverTest : public ::testing::Test {
 protected:
  SaverTest() {
    parameters_.emplace_back("norm", Tensor::FromRows(oracle::RandomMatrix(2, 3, 1)));
    options_.steps = 1000;
    options_.checkpoint_every = 500;
    clock_.now = [this] { return now_; };
    clock_.sleep = [this](double seconds) {
      now_ += seconds;
      if (on_sleep_) on_sleep_();
    };
  }

  CheckpointSaver Make() {
    return CheckpointSaver(folder_ / "out", {"rank 8 alpha 2", "text", "base"}, options_, clock_, messages_);
  }

  static TrainState At(std::int64_t step) {
    TrainState state;
    state.step = step;
    for (std::int64_t i = 1; i <= step; ++i) state.log.points.push_back({i, i, 1, 1, 1, 1, {}});
    return state;
  }

  // A folder where the new checkpoint should go: it cannot be written, not even by root.
  void Block() const { fs::create_directories(checkpoint() / "in-the-way"); }
  void Unblock() const { fs::remove_all(checkpoint()); }
  fs::path checkpoint() const { return folder_ / "out/checkpoint.gguf"; }

  TestFolder folder_;
  TrainOptions options_;
  TrainClock clock_;
  double now_ = 1000;
  std::function<void()> on_sleep_;
  Messages messages_;
  std::vector<Parameter> parameters_;
};

TEST_F(SaverTest, SavesByTheClockAndBySteps) {
  CheckpointSaver saver = Make();
  const auto saved_at = [&](std::int64_t step) {
    saver.SaveIfDue(At(step), parameters_);
    return saver.saved_step() == step;
  };
  EXPECT_FALSE(saved_at(1));
  now_ += 599;
  EXPECT_FALSE(saved_at(2));
  now_ += 2;
  EXPECT_TRUE(saved_at(3));
  now_ += 300;
  EXPECT_FALSE(saved_at(4));
  EXPECT_TRUE(saved_at(500));
  now_ += 400;  // 700 seconds after the one by the clock, 400 after the last
  EXPECT_FALSE(saved_at(501));
  now_ += 201;
  EXPECT_TRUE(saved_at(502));

  options_.checkpoint_minutes = 0;
  now_ += 1e6;
  EXPECT_FALSE(saved_at(503));
}

TEST_F(SaverTest, AFailedSaveIsReportedAndTriedAgain) {
  CheckpointSaver saver = Make();
  Block();
  saver.SaveIfDue(At(500), parameters_);
  EXPECT_THAT(messages_.lines, ElementsAre(AllOf(HasSubstr("step 500"), HasSubstr("checkpoint.gguf"))));
  EXPECT_EQ(saver.saved_step(), 0);
  now_ += 30;
  saver.SaveIfDue(At(501), parameters_);
  EXPECT_EQ(messages_.lines.size(), 1u);  // not tried yet
  now_ += 31;
  saver.SaveIfDue(At(502), parameters_);
  EXPECT_EQ(messages_.lines.size(), 2u);
  Unblock();
  now_ += 61;
  saver.SaveIfDue(At(503), parameters_);
  EXPECT_THAT(messages_.lines.back(), HasSubstr("step 503 is saved"));
  EXPECT_EQ(saver.saved_step(), 503);
  EXPECT_EQ(Make().Load(parameters_)->step, 503);
}

TEST_F(SaverTest, AFailedSaveLeavesTheLastCheckpoint) {
  CheckpointSaver saver = Make();
  ASSERT_TRUE(saver.Save(At(3), parameters_));
  const std::string before = ReadFile(checkpoint());
  parameters_.emplace_back("norm", Tensor::FromRows(oracle::RandomMatrix(2, 3, 1)));  // a name twice: refused
  EXPECT_FALSE(saver.Save(At(4), parameters_));
  EXPECT_EQ(ReadFile(checkpoint()), before);
  std::int64_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder_ / "out")) ++files;
  EXPECT_EQ(files, 3);  // with a second name of the checkpoint, and the log: nothing half-written
}

TEST_F(SaverTest, AtTheEndItWaitsForRoom) {
  CheckpointSaver saver = Make();
  Block();
  int slept = 0;
  on_sleep_ = [&] {
    if (++slept == 3) Unblock();
  };
  EXPECT_TRUE(saver.SaveAtEnd(At(1000), parameters_));
  EXPECT_EQ(slept, 3);
  EXPECT_EQ(saver.saved_step(), 1000);
}

TEST_F(SaverTest, AtTheEndItGivesUpAtLastAndSaysWhy) {
  CheckpointSaver saver = Make();
  Block();
  EXPECT_FALSE(saver.SaveAtEnd(At(1000), parameters_));
  EXPECT_GT(now_, 1000 + 120);
  EXPECT_THAT(saver.failure(), HasSubstr("checkpoint.gguf"));
  const double before = now_;
  RequestCancel();
  EXPECT_FALSE(saver.SaveAtEnd(At(1000), parameters_));
  ClearCancel();
  EXPECT_EQ(now_, before);  // Ctrl-C: no more waiting
}

TEST_F(SaverTest, AFolderThatCannotBeWrittenIsRefusedAtOnce) {
  std::ofstream(folder_ / "out") << "a file";
  EXPECT_THAT(ErrorOf([&] { Make(); }), HasSubstr("out"));
}

TEST_F(SaverTest, NeverBeginsAnewOnAnUnreadableCheckpoint) {
  EXPECT_FALSE(Make().Load(parameters_).has_value());
  const auto expect_refusal = [&] {
    EXPECT_THAT(ErrorOf([&] { Make().Load(parameters_); }),
                AllOf(HasSubstr("checkpoint.gguf"), HasSubstr("remove it to begin anew")));
  };
  Block();
  expect_refusal();
  Unblock();
  WriteFile(checkpoint(), "");
  expect_refusal();
  fs::remove(checkpoint());
  fs::create_symlink(folder_ / "nowhere", checkpoint());
  expect_refusal();
}

std::vector<std::string> FilesIn(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST_F(SaverTest, KeepsSomeOfTheCheckpointsBefore) {
  options_.checkpoints_kept = 3;
  CheckpointSaver saver = Make();
  for (const std::int64_t step : {2, 4, 6, 8, 10}) ASSERT_TRUE(saver.Save(At(step), parameters_));
  EXPECT_THAT(FilesIn(folder_ / "out"),
              ElementsAre("checkpoint-6.gguf", "checkpoint-8.gguf", "checkpoint.gguf", "log.jsonl"));
  // The validation loss of a step that is saved already comes later: no earlier one has to go for that.
  TrainState validated = At(10);
  validated.log.points.back().validation_loss = 1;
  ASSERT_TRUE(saver.Save(validated, parameters_));
  EXPECT_THAT(FilesIn(folder_ / "out"), Contains("checkpoint-6.gguf"));

  options_.checkpoints_kept = 1;
  ASSERT_TRUE(saver.Save(At(11), parameters_));
  EXPECT_THAT(FilesIn(folder_ / "out"), ElementsAre("checkpoint.gguf", "log.jsonl"));
}

TEST_F(SaverTest, FilesOfOthersStay) {
  CheckpointSaver saver = Make();
  for (const char* name : {"checkpoint-1.gguf", "checkpoint-x.gguf", "checkpoint-3.gguf.bak"})
    WriteFile(folder_ / "out" / name, "mine");
  CheckpointSaver another(folder_ / "other", {"rank 9", "text", "base"}, options_, clock_, messages_);
  ASSERT_TRUE(another.Save(At(2), parameters_));
  fs::copy_file(folder_ / "other/checkpoint.gguf", folder_ / "out/checkpoint-2.gguf");
  for (const std::int64_t step : {4, 6, 8}) ASSERT_TRUE(saver.Save(At(step), parameters_));
  EXPECT_THAT(FilesIn(folder_ / "out"),
              ElementsAre("checkpoint-1.gguf", "checkpoint-2.gguf", "checkpoint-3.gguf.bak",
                          "checkpoint-6.gguf", "checkpoint-x.gguf", "checkpoint.gguf", "log.jsonl"));
}

TEST_F(SaverTest, GoesOnFromTheOneBeforeADamagedCheckpoint) {
  {
    CheckpointSaver saver = Make();
    const std::vector<float> before(parameters_[0].value.floats().begin(),
                                    parameters_[0].value.floats().end());
    ASSERT_TRUE(saver.Save(At(4), parameters_));
    parameters_[0].value.mutable_floats()[0] += 1;
    ASSERT_TRUE(saver.Save(At(6), parameters_));
    const std::string bytes = ReadFile(checkpoint());
    WriteFile(checkpoint(), bytes.substr(0, bytes.size() / 2));
    CheckpointSaver next = Make();
    const auto state = next.Load(parameters_);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->step, 4);
    EXPECT_EQ(parameters_[0].value.floats()[0], before[0]);
    EXPECT_THAT(messages_.lines.back(),
                AllOf(HasSubstr("checkpoint.gguf: "), HasSubstr("going on from checkpoint-4.gguf")));
    // Even the same step is saved again, because the file is not its.
    ASSERT_TRUE(next.Save(*state, parameters_));
  }
  EXPECT_EQ(Make().Load(parameters_)->step, 4);
}

// The user removes the checkpoint to begin anew.
TEST_F(SaverTest, WithoutALatestCheckpointARunBeginsAnew) {
  CheckpointSaver saver = Make();
  for (const std::int64_t step : {4, 6}) ASSERT_TRUE(saver.Save(At(step), parameters_));
  fs::remove(checkpoint());
  EXPECT_FALSE(Make().Load(parameters_).has_value());
}

}  // namespace
}  // namespace longspan
