// longspan prepare, as a user calls it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using Command = std::vector<std::string>;

const std::string kBase = LONGSPAN_SOURCE_DIR "/models/longspan-base.gguf";

class Prepare : public testing::Test {
 protected:
  Outcome Run(const std::string& input, const Command& more = {}) {
    Command command{"prepare", place_ / input, "--tokenizer", kBase, "--out", place_ / "out"};
    command.insert(command.end(), more.begin(), more.end());
    return place_.Run(command);
  }

  Workplace place_;
};

TEST_F(Prepare, SkipsNamesAndCountsWhatItCannotUse) {
  WriteFile(place_ / "in/a.jsonl", "{\"text\": \"The old man went to the sea.\"}\nno JSON\n");
  WriteFile(place_ / "in/b.txt", "caf\xE9");
  WriteFile(place_ / "in/c.zst", "no zstd");
  const Outcome outcome = Run("in", {"--json"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("a.jsonl:2"));
  EXPECT_THAT(outcome.err, HasSubstr("b.txt: not UTF-8"));
  EXPECT_THAT(outcome.err, HasSubstr("c.zst: named as"));
  EXPECT_THAT(outcome.err, HasSubstr("1 line, 1 document and 1 file of the input"));
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report.at("kept"), 1);
  EXPECT_EQ(report.at("skipped_lines").at("count"), 1);
  EXPECT_TRUE(fs::exists(place_ / "out/train.lsd"));
  EXPECT_EQ(Run("in", {"--force", "--strict"}).code, 3);
}

TEST_F(Prepare, ReplacesShardsOnlyWhereAsked) {
  WriteFile(place_ / "a.txt", "One text.");
  WriteFile(place_ / "b.txt", "Another text.");
  ASSERT_EQ(Run("a.txt").code, 0);
  WriteFile(place_ / "out/notes", "mine");
  const std::string before = ReadFile(place_ / "out/train.lsd");
  const Outcome refused = Run("b.txt");
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(ReadFile(place_ / "out/train.lsd"), before);
  ASSERT_EQ(Run("b.txt", {"--force"}).code, 0);
  EXPECT_NE(ReadFile(place_ / "out/train.lsd"), before);
  EXPECT_EQ(ReadFile(place_ / "out/notes"), "mine");
}

TEST_F(Prepare, CountsByThePartsOfACorpusInTextAndJson) {
  WriteFile(place_ / "in/c4/a.jsonl",
            "{\"text\": \"The old man went to the sea.\", \"meta\": \"{'source': 'c4'}\"}\n"
            "{\"text\": \"The old man went to the sea.\", \"meta\": {\"source\": \"c4\"}}\n");
  WriteFile(place_ / "in/b.txt", "A text of its own.");
  const Outcome text = Run("in", {"--near-duplicates"});
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("near duplicates"));
  EXPECT_THAT(text.out, testing::ContainsRegex("\nc4 +2 +1 "));
  const json report = json::parse(Run("in", {"--json", "--force"}).out);
  EXPECT_EQ(report.at("documents"), 3);
  EXPECT_EQ(report.at("duplicates"), 1);
  EXPECT_EQ(report.at("subsets").at(1).at("name"), "c4");
  EXPECT_EQ(report.at("subsets").at(1).at("duplicates"), 1);
  EXPECT_EQ(report.at("tokens").at("found").get<int>(),
            report.at("tokens").at("kept").get<int>() + report.at("tokens").at("duplicates").get<int>());
}

TEST_F(Prepare, PartsAreJoinedByTheCommandWithoutThem) {
  for (const char* name : {"a", "b", "c"})
    WriteFile(place_ / (std::string("in/") + name + ".jsonl"),
              std::string("{\"text\": \"Text ") + name + ".\"}\n");
  ASSERT_EQ(Run("in").code, 0);
  const std::string straight = ReadFile(place_ / "out/train.lsd");
  fs::remove_all(place_ / "out");
  for (const char* part : {"2/2", "1/2"}) {
    const Outcome outcome = Run("in", {"--part", part});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(std::string("part ") + part));
    EXPECT_FALSE(fs::exists(place_ / "out/train.lsd"));
  }
  EXPECT_THAT(Run("in", {"--part", "1/2"}).out, HasSubstr("the same command without --part joins them"));
  ASSERT_EQ(Run("in").code, 0);
  EXPECT_EQ(ReadFile(place_ / "out/train.lsd"), straight);
  EXPECT_FALSE(fs::exists(place_ / "out.work"));
  for (const char* part : {"0/2", "3/2", "1", "1/", "/2", "a/b", "1/2x", "-1/2"}) {
    const Outcome refused = Run("in", {"--force", "--part", part});
    EXPECT_EQ(refused.code, 2) << part;
    EXPECT_THAT(refused.err, HasSubstr("--part")) << part;
  }
}

TEST_F(Prepare, CtrlCLeavesNoShardsAndTheNextRunSucceeds) {
  std::string text;
  for (int i = 0; i < 200'000; ++i)
    text += "{\"text\": \"Number " + std::to_string(i) + " is a number of its own.\"}\n";
  WriteFile(place_ / "a.jsonl", text);
  const Command command{"prepare", place_ / "a.jsonl", "--tokenizer", kBase, "--out", place_ / "out"};
  const pid_t process = place_.Start(command);
  for (int i = 0; i < 60'000 && !fs::exists(place_ / "out.work"); ++i) ::usleep(1000);
  ::kill(process, SIGINT);
  const Outcome stopped = place_.Wait(process);
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_FALSE(fs::exists(place_ / "out"));
  EXPECT_FALSE(fs::exists(place_ / "out.work"));  // nothing was done yet
  EXPECT_EQ(place_.Run(command).code, 0);
}

TEST_F(Prepare, ZeroMaxTokensIsNoLimit) {
  WriteFile(place_ / "a.txt", "One text.");
  EXPECT_EQ(Run("a.txt", {"--max-tokens", "0"}).code, 0);
}

// Ten million spaces, and a document behind them that must not be lost.
TEST_F(Prepare, ADocumentOfSpacesDoesNotEndIt) {
  std::string blank;
  blank.resize(10'000'000, ' ');
  WriteFile(place_ / "a.jsonl", "{\"text\": \"" + blank + "\"}\n{\"text\": \"One text.\"}\n");
  const Outcome outcome = Run("a.jsonl", {"--json"});
  EXPECT_TRUE(outcome.code == 0 || outcome.code == 3) << outcome.err;
  EXPECT_GE(json::parse(outcome.out).at("kept"), 1);
}

// The other tokenizer has as many tokens, with two of them exchanged, so no size tells the two apart.
TEST_F(Prepare, TrainRefusesShardsOfAnotherTokenizer) {
  WriteFile(place_ / "a.txt", std::string(20, 'a') + " text of some words, and some more.");
  WriteFile(place_ / "b.txt", std::string(20, 'b') + " an utterly different book of many letters.");
  for (const char* name : {"a", "b"}) {
    const std::string vocabulary = place_ / (std::string(name) + ".gguf");
    ASSERT_EQ(place_
                  .Run({"tokenizer", "train", vocabulary, place_ / (std::string(name) + ".txt"),
                        "--vocab-size", "262", "--min-frequency", "1"})
                  .code,
              0);
  }
  ASSERT_EQ(
      place_.Run({"prepare", place_ / "a.txt", "--tokenizer", place_ / "a.gguf", "--out", place_ / "shards"})
          .code,
      0);
  const auto train = [&](const std::string& vocabulary) {
    WriteFile(place_ / "train.yml", "base:\n  new: {vocabulary: " + vocabulary +
                                        ", dim: 32, layers: 1, heads: 2, hidden_dim: 64, context: 32}\n"
                                        "data: {shards: shards}\ncontext: {window: 16}\n"
                                        "train: {learning_rate: 1e-3, steps: 1, out: model}\n");
    return place_.Run({"train", place_ / "train.yml"});
  };
  const Outcome refused = train("b.gguf");
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("another tokenizer"));
  const Outcome accepted = train("a.gguf");
  EXPECT_EQ(accepted.code, 0) << accepted.err;
}

// eval says what it leaves out.
TEST_F(Prepare, EvalNamesWhatItSkips) {
  WriteFile(place_ / "a.ndjson",
            "{\"text\": \"The old man went to the sea, and the sea was calm.\"}\nno JSON\n");
  const Outcome outcome =
      place_.Run({"eval", "ppl", kBase, "--file", place_ / "a.ndjson", "--context", "8", "--stride", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("a.ndjson:2"));
}

}  // namespace
}  // namespace longspan
