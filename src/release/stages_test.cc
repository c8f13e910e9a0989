#include "release/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "base/error.h"
#include "base/file.h"
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
    if (runner.Run("copy", {{setting}, {folder_ / "in"}}, {work_ / "mid"},
                   [&] { WriteFile(work_ / "mid", ReadFile(folder_ / "in") + setting); })) {
      ran += "copy ";
    }
    if (runner.Run("join", {{}, {work_ / "mid"}}, {work_ / "out"}, [&] {
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

TEST_F(StagesTest, InterruptedStageGoesOnFromItsScratch) {
  int attempts = 0;
  bool fail = true;
  const auto run = [&](const std::string& setting) {
    StageRunner runner(work_, listener_);
    return runner.Run("train", {{setting}, {}}, {work_ / "model"}, [&] {
      const auto checkpoint = runner.Scratch("train") / "checkpoint";
      attempts = std::filesystem::exists(checkpoint) ? std::stoi(ReadFile(checkpoint)) + 1 : 1;
      WriteFile(checkpoint, std::to_string(attempts));
      if (fail) throw Error(ErrorKind::kCancelled, "Ctrl-C");
      WriteFile(work_ / "model", "done");
    });
  };
  EXPECT_THROW(run("a"), Error);
  EXPECT_EQ(attempts, 1);
  EXPECT_THROW(run("a"), Error);
  EXPECT_EQ(attempts, 2);  // went on
  EXPECT_THROW(run("b"), Error);
  EXPECT_EQ(attempts, 1);  // other settings begin anew
  fail = false;
  EXPECT_TRUE(run("b"));
  EXPECT_EQ(attempts, 2);
  EXPECT_FALSE(run("b"));
  EXPECT_FALSE(std::filesystem::exists(work_ / "scratch/train"));
}

TEST_F(StagesTest, InterruptedRerunIsNotTakenForTheFinishedOne) {
  RunAll();
  {
    StageRunner runner(work_, listener_);
    EXPECT_THROW(runner.Run("copy", {{"other"}, {folder_ / "in"}}, {work_ / "mid"},
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
    return runner.Run("prepare", {{}, {folder_ / "corpus"}}, {work_ / "shards"},
                      [&] { WriteFile(work_ / "shards/0.bin", "shard"); });
  };
  EXPECT_TRUE(run());
  EXPECT_FALSE(run());
  WriteFile(folder_ / "corpus/b/c.txt", "2");
  EXPECT_TRUE(run());
  WriteFile(work_ / "shards/0.bin", "broken");
  EXPECT_TRUE(run());
}

TEST_F(StagesTest, UnreadableRecordsBeginAnew) {
  RunAll();
  for (const char* bad :
       {"", "{", "[]", R"({"version": 1, "stages": {"copy": 3}, "files": {}})", R"({"version": 99})"}) {
    WriteFile(work_ / "stages.json", bad);
    EXPECT_EQ(RunAll(), "copy join ") << bad;
  }
  EXPECT_THAT(listener_.lines, HasSubstr("every stage runs again"));
}

TEST_F(StagesTest, FaultsAreNamed) {
  StageRunner runner(work_, listener_);
  EXPECT_THAT(
      [&] {
        runner.Run("s", {{}, {}}, {work_ / "never"}, [] {});
      },
      ThrowsMessage<Error>(HasSubstr("stage 's' ended without writing")));
  EXPECT_THAT(
      [&] {
        runner.Run("s", {{}, {folder_ / "absent"}}, {}, [] {});
      },
      ThrowsMessage<Error>(HasSubstr("absent: needed by stage 's', but missing")));
  EXPECT_THAT([&] { StageRunner second(work_, listener_); },
              ThrowsMessage<Error>(HasSubstr("another longspan is at work")));
}

TEST_F(StagesTest, TimeIsKept) {
  RunAll();
  StageRunner runner(work_, listener_);
  EXPECT_GT(runner.Seconds("copy"), 0);
  EXPECT_EQ(runner.Seconds("unknown"), 0);
}

}  // namespace
}  // namespace longspan
