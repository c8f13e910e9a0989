#include "release/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Listener : public Progress {
 public:
  void Message(std::string_view line) override { lines += std::string(line) + "\n"; }
  std::string lines;
};

// Two stages: copy upper-cases `in` to `mid`, join appends mid to itself as `out`.
class StagesTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteFile(folder_ / "in", "a"); }

  // Runs both; returns which of them ran, such as "copy join".
  std::string RunAll(const std::string& setting = "x") {
    StageRunner runner(work_, listener_);
    std::string ran;
    if (runner.Run("copy", {1, {setting}, {folder_ / "in"}}, {work_ / "mid"},
                   [&] { WriteFile(work_ / "mid", ReadFile(folder_ / "in") + setting); })) {
      ran += "copy ";
    }
    if (runner.Run("join", {1, {}, {work_ / "mid"}}, {work_ / "out"}, [&] {
          const std::string text = ReadFile(work_ / "mid");
          WriteFile(work_ / "out", text + text);
        })) {
      ran += "join ";
    }
    return ran;
  }

  TestFolder folder_;
  std::filesystem::path work_ = folder_ / "work";
  Listener listener_;
};

TEST_F(StagesTest, SkipWhatIsUpToDate) {
  EXPECT_EQ(RunAll(), "copy join ");
  EXPECT_EQ(RunAll(), "");
  EXPECT_EQ(ReadFile(work_ / "out"), "axax");
}

TEST_F(StagesTest, ChangedInputRunsAllThatFollows) {
  RunAll();
  WriteFile(folder_ / "in", "b");
  EXPECT_EQ(RunAll(), "copy join ");
  EXPECT_EQ(ReadFile(work_ / "out"), "bxbx");
  EXPECT_EQ(RunAll("y"), "copy join ");
  EXPECT_EQ(ReadFile(work_ / "out"), "byby");
}

TEST_F(StagesTest, TouchingAFileChangesNothing) {
  RunAll();
  std::filesystem::last_write_time(folder_ / "in", std::filesystem::file_time_type::clock::now());
  EXPECT_EQ(RunAll(), "");
}

TEST_F(StagesTest, CorruptedOrMissingOutputRunsAgain) {
  RunAll();
  WriteFile(work_ / "mid", "zz");
  EXPECT_EQ(RunAll(), "copy ");  // which restores what join had read
  EXPECT_THAT(listener_.lines, HasSubstr("mid was changed"));
  std::filesystem::remove(work_ / "out");
  EXPECT_EQ(RunAll(), "join ");
  EXPECT_THAT(listener_.lines, HasSubstr("out is missing"));
}

TEST_F(StagesTest, CorruptionOfSameSizeAndTimeIsSeen) {
  RunAll();
  const auto time = std::filesystem::last_write_time(work_ / "mid");
  WriteFile(work_ / "mid", "ay");
  std::filesystem::last_write_time(work_ / "mid", time);
  EXPECT_EQ(RunAll(), "copy ");
}

TEST_F(StagesTest, AnotherVersionOfTheCodeRunsAgain) {
  const auto run = [&](int version) {
    StageRunner runner(work_, listener_);
    return runner.Run("copy", {version, {}, {folder_ / "in"}}, {work_ / "mid"},
                      [&] { WriteFile(work_ / "mid", "x"); });
  };
  EXPECT_TRUE(run(1));
  EXPECT_FALSE(run(1));
  EXPECT_TRUE(run(2));
}

// A stage that counts its attempts in a checkpoint, and fails while fail_ is set.
class CheckpointsTest : public StagesTest {
 protected:
  bool Train(const std::string& setting) {
    StageRunner runner(work_, listener_);
    return runner.Run("train", {1, {setting}, {}}, {work_ / "model"}, [&] {
      const auto checkpoint = runner.Scratch() / "checkpoint";
      attempts_ = std::filesystem::exists(checkpoint) ? std::stoi(ReadFile(checkpoint)) + 1 : 1;
      WriteFile(checkpoint, std::to_string(attempts_));
      if (fail_) throw Error(ErrorKind::kCancelled, "Ctrl-C");
      WriteFile(work_ / "model", "done with " + setting);
    });
  }

  int attempts_ = 0;
  bool fail_ = true;
};

TEST_F(CheckpointsTest, AreGoneOnFrom) {
  EXPECT_THROW(Train("a"), Error);
  EXPECT_EQ(attempts_, 1);
  EXPECT_THROW(Train("a"), Error);
  EXPECT_EQ(attempts_, 2);
  EXPECT_THAT(listener_.lines, HasSubstr("train: goes on from its checkpoint"));
  EXPECT_THAT(listener_.lines, testing::Not(HasSubstr("runs again")));
  fail_ = false;
  EXPECT_TRUE(Train("a"));
  EXPECT_EQ(attempts_, 3);
  EXPECT_FALSE(Train("a"));
  EXPECT_TRUE(std::filesystem::is_empty(work_ / "scratch"));
}

TEST_F(CheckpointsTest, OfOtherSettingsAreKeptAndNamed) {
  EXPECT_THROW(Train("a"), Error);
  EXPECT_THROW(Train("b"), Error);
  EXPECT_EQ(attempts_, 1);  // other settings begin anew
  EXPECT_THAT(listener_.lines, HasSubstr("is kept, checkpoints of other settings"));
  EXPECT_THROW(Train("a"), Error);
  EXPECT_EQ(attempts_, 2);  // and what the first had is still there
  fail_ = false;
  EXPECT_TRUE(Train("b"));
  EXPECT_EQ(attempts_, 2);
  EXPECT_TRUE(Train("a"));
  EXPECT_EQ(attempts_, 3);
}

TEST_F(CheckpointsTest, AnInterruptedRunWithOtherSettingsLosesNoResult) {
  fail_ = false;
  EXPECT_TRUE(Train("a"));
  fail_ = true;
  EXPECT_THROW(Train("b"), Error);
  fail_ = false;
  EXPECT_FALSE(Train("a"));
  EXPECT_EQ(ReadFile(work_ / "model"), "done with a");
}

TEST_F(CheckpointsTest, SurviveARecordThatCannotBeRead) {
  EXPECT_THROW(Train("a"), Error);
  const std::string record = ReadFile(work_ / "stages.json");
  WriteFile(work_ / "stages.json", record.substr(0, record.size() / 2));
  EXPECT_EQ(KindOf([&] { Train("a"); }), ErrorKind::kInvalidFile);
  WriteFile(work_ / "stages.json", record);
  EXPECT_THROW(Train("a"), Error);
  EXPECT_EQ(attempts_, 2);
}

TEST_F(StagesTest, InterruptedRerunIsNotTakenForTheFinishedOne) {
  RunAll();
  {
    StageRunner runner(work_, listener_);
    EXPECT_THROW(runner.Run("copy", {1, {"other"}, {folder_ / "in"}}, {work_ / "mid"},
                            [&] {
                              WriteFile(work_ / "mid", "half");
                              throw Error(ErrorKind::kCancelled, "Ctrl-C");
                            }),
                 Error);
  }
  EXPECT_EQ(RunAll(), "copy ");
}

TEST_F(StagesTest, FoldersAreInputsAndOutputs) {
  WriteFile(folder_ / "corpus/a.txt", "1");
  const auto run = [&] {
    StageRunner runner(work_, listener_);
    return runner.Run("prepare", {1, {}, {folder_ / "corpus"}}, {work_ / "shards"},
                      [&] { WriteFile(work_ / "shards/0.bin", "shard"); });
  };
  EXPECT_TRUE(run());
  EXPECT_FALSE(run());
  WriteFile(folder_ / "corpus/b/c.txt", "2");
  EXPECT_TRUE(run());
  WriteFile(work_ / "shards/0.bin", "broken");
  EXPECT_TRUE(run());
}

TEST_F(StagesTest, ARecordThatCannotBeReadIsAnErrorThatSaysWhatToDo) {
  RunAll();
  const std::string record = ReadFile(work_ / "stages.json");
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("[]"), record.substr(0, 100),
        std::string(R"({"version": 2, "stages": {"copy": 3}})"),
        std::string(R"({"version": 1, "stages": {}, "files": {}})"), std::string(R"({"version": 99})")}) {
    WriteFile(work_ / "stages.json", bad);
    const std::string message = ErrorOf([&] { RunAll(); });
    EXPECT_THAT(message, HasSubstr("stages.json")) << bad;
    EXPECT_THAT(message, HasSubstr("away, and every stage runs again")) << bad;
    EXPECT_EQ(ReadFile(work_ / "stages.json"), bad);  // left for the user to repair
  }
  WriteFile(work_ / "stages.json", record);
  EXPECT_EQ(RunAll(), "");
}

TEST_F(StagesTest, AFolderOfSomebodyElsesIsRefused) {
  WriteFile(work_ / "mid", "not the job's");
  EXPECT_THAT(ErrorOf([&] { RunAll(); }), HasSubstr("found 'mid'"));
  EXPECT_EQ(ReadFile(work_ / "mid"), "not the job's");
}

TEST_F(StagesTest, WhatAKilledProcessLeftIsRemoved) {
  RunAll();
  WriteFile(work_ / "mid.longspan-tmp-0123456789abcdef", "half");
  WriteFile(work_ / "scratch/train-1/checkpoint.gguf.longspan-tmp-0123456789abcdef", "half");
  EXPECT_EQ(RunAll(), "");
  EXPECT_FALSE(std::filesystem::exists(work_ / "mid.longspan-tmp-0123456789abcdef"));
  EXPECT_FALSE(
      std::filesystem::exists(work_ / "scratch/train-1/checkpoint.gguf.longspan-tmp-0123456789abcdef"));
}

// The record of a stage does not grow with the number of its inputs.
TEST_F(StagesTest, TheNumberOfInputsHasNoLimit) {
  std::filesystem::create_directories(folder_ / "inputs");
  for (int i = 0; i < 1000; ++i) std::ofstream(folder_ / fmt::format("inputs/{}", i)) << i;
  const auto run = [&] {
    StageRunner runner(work_, listener_);
    return runner.Run("read", {1, {}, {folder_ / "inputs"}}, {work_ / "mid"},
                      [&] { WriteFile(work_ / "mid", "x"); });
  };
  EXPECT_TRUE(run());
  EXPECT_FALSE(run());
  EXPECT_LT(std::filesystem::file_size(work_ / "stages.json"), 4096u);
}

TEST_F(StagesTest, FaultsAreNamed) {
  StageRunner runner(work_, listener_);
  EXPECT_THAT(
      [&] {
        runner.Run("s", {1, {}, {}}, {work_ / "never"}, [] {});
      },
      ThrowsMessage<Error>(HasSubstr("stage 's' ended without writing")));
  EXPECT_THAT(
      [&] {
        runner.Run("s", {1, {}, {folder_ / "absent"}}, {}, [] {});
      },
      ThrowsMessage<Error>(HasSubstr("absent: needed by stage 's', but missing")));
  EXPECT_THAT([&] { StageRunner second(work_, listener_); },
              ThrowsMessage<Error>(
                  HasSubstr(fmt::format("another longspan works in this folder (process {})", ::getpid()))));
}

TEST_F(StagesTest, TimeIsKept) {
  RunAll();
  StageRunner runner(work_, listener_);
  EXPECT_GT(runner.Seconds("copy"), 0);
  EXPECT_EQ(runner.Seconds("unknown"), 0);
}

}  // namespace
}  // namespace longspan
