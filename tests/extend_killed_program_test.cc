// `longspan extend` killed at random moments: what it did not make stays as it is, and the job goes on to the
// result that it would have had.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/file.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;

constexpr int kKills = 20;

// Starts the program and kills it after this long, unless it ends earlier. Returns whether it was killed.
bool RunAndKill(const Workplace& place, std::vector<std::string> words, std::chrono::milliseconds after) {
  words.insert(words.begin(), LONGSPAN_PROGRAM);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string log = place / "log";
  for (const int fd : {1, 2})
    posix_spawn_file_actions_addopen(&files, fd, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  pid_t process = 0;
  const int error = posix_spawn(&process, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) throw std::runtime_error("cannot start " + words[0]);
  std::this_thread::sleep_for(after);
  ::kill(process, SIGKILL);
  int status = 0;
  ::waitpid(process, &status, 0);
  return WIFSIGNALED(status);
}

// Names and contents of all regular files below a folder.
std::map<std::string, std::string> Contents(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  if (!fs::exists(folder)) return contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      contents[entry.path().lexically_relative(folder).string()] = ReadFile(entry.path());
  }
  return contents;
}

// The names that SHA256SUMS lists.
std::set<std::string> Listed(const fs::path& folder) {
  std::set<std::string> names;
  std::istringstream lines(ReadFile(folder / "SHA256SUMS"));
  for (std::string line; std::getline(lines, line);) names.insert(line.substr(66));
  return names;
}

std::set<std::string> Checkpoints(const fs::path& work) {
  std::set<std::string> found;
  if (!fs::exists(work / "scratch")) return found;
  for (const auto& [name, contents] : Contents(work / "scratch")) {
    if (name.ends_with("checkpoint.gguf")) found.insert(name);
  }
  return found;
}

class ExtendKilled : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(place_ / "texts");
    for (int i = 0; i < 8; ++i) {
      std::string text;
      for (int j = 0; j < 80; ++j) text += fmt::format("The cat number {} saw the river and sang. ", i * j);
      WriteFile(place_ / fmt::format("texts/{}.txt", i), text);
    }
    Must({"tokenizer", "train", place_ / "vocab.gguf", place_ / "texts", "--vocab-size", "300"});
    Must({"prepare", place_ / "texts", "--tokenizer", place_ / "vocab.gguf", "--out", place_ / "shards"});
    WriteFile(place_ / "base.yml",
              "base:\n  new: {vocabulary: vocab.gguf, dim: 32, layers: 1, heads: 2, hidden_dim: 64, "
              "context: 128}\n"
              "data: {shards: shards}\ncontext: {window: 32}\n"
              "train: {learning_rate: 1e-2, steps: 4, out: base}\n");
    Must({"train", place_ / "base.yml"});
    Must({"convert", place_ / "base/model.gguf", place_ / "base/folder"});
    WriteRecipe("straight");
    WriteRecipe("killed");
  }

  void Must(const std::vector<std::string>& words) {
    const Outcome outcome = place_.Run(words);
    ASSERT_EQ(outcome.code, 0) << words[0] << ": " << outcome.err;
  }

  void WriteRecipe(const std::string& out) {
    WriteFile(place_ / (out + ".yml"), fmt::format(R"(base:
  model: base/folder
data:
  inputs: [texts]
  min_tokens: 20
  validation: 0.2
context:
  target: 256
train:
  rank: 4
  learning_rate: 1e-3
  steps: 40
  batch_size: 2
  checkpoint_every: 4
  eval_every: 20
  eval_examples: 1
quantize:
  types: [F16, Q8_0]
eval:
  contexts: [64, 256]
  stride: 32
  max_tokens: 256
  passkey:
    lengths: [224, 256]
    depths: 1
    trials: 1
release:
  name: tiny
  license: apache-2.0
  huggingface: true
  out: {}
)",
                                                   out));
  }

  std::vector<std::string> Extend(const std::string& name) const {
    return {"extend", place_ / (name + ".yml"), "--keep-foreign", "--threads", "1"};
  }

  Workplace place_;
};

TEST_F(ExtendKilled, ChangesNothingForeignAndGoesOnToTheSameResult) {
  const std::map<std::string, std::string> foreign{
      {"tiny-Q2_K.gguf", "a model from elsewhere"},
      {"base.gguf", "a base"},
      {"x.gguf.longspan-tmp-0123456789abcdef", "looks like a leftover, but is not ours"},
      {"notes/README.md", "notes"}};
  for (const auto& [name, text] : foreign) WriteFile(place_ / ("killed/" + name), text);
  const auto base = Contents(place_ / "base");

  const Clock::time_point start = Clock::now();
  Must(Extend("straight"));
  const auto straight = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);

  // Each run gets a part of the time, so that together they come through every stage.
  std::mt19937_64 random(std::random_device{}());
  int killed = 0;
  for (int i = 0; i < kKills; ++i) {
    const std::set<std::string> checkpoints = Checkpoints(place_ / "killed.work");
    const auto stages = Contents(place_ / "killed.work").contains("train.json");
    const auto most = straight.count() / 4 + 1;
    killed +=
        RunAndKill(place_, Extend("killed"),
                   std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, most)(random)));
    const auto contents = Contents(place_ / "killed");
    for (const auto& [name, text] : foreign) EXPECT_EQ(contents.at(name), text);
    // A checkpoint stays until its stage is done.
    if (!stages && !Contents(place_ / "killed.work").contains("train.json")) {
      EXPECT_THAT(Checkpoints(place_ / "killed.work"), testing::IsSupersetOf(checkpoints));
    }
    EXPECT_TRUE(Contents(place_ / "base") == base);
  }
  EXPECT_GT(killed, 0);

  const bool has_checkpoint = !Checkpoints(place_ / "killed.work").empty();
  const Outcome last = place_.Run(Extend("killed"));
  ASSERT_EQ(last.code, 0) << last.err << ReadFile(place_ / "log");
  if (has_checkpoint) {
    EXPECT_THAT(last.err, testing::AnyOf(HasSubstr("going on from step"), HasSubstr("train: up to date")));
  }
  EXPECT_THAT(last.err + ReadFile(place_ / "log"), Not(HasSubstr("internal error")));

  const auto expected = Contents(place_ / "straight"), found = Contents(place_ / "killed");
  for (const auto& [name, contents] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    // The card and its checksum hold the time that the job took.
    if (name != "README.md" && name != "SHA256SUMS") {
      EXPECT_TRUE(found.at(name) == contents) << name;
    }
  }
  EXPECT_EQ(found.size(), expected.size() + foreign.size());
  EXPECT_EQ(Listed(place_ / "killed"), Listed(place_ / "straight"));
  for (const auto& [name, contents] : Contents(place_ / "killed.work"))
    EXPECT_THAT(name, Not(HasSubstr("longspan-tmp-"))) << name;

  // And there is nothing left to do.
  const Outcome again = place_.Run(Extend("killed"));
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, Not(HasSubstr("runs again")));
  EXPECT_EQ(Contents(place_ / "killed"), found);
}

TEST_F(ExtendKilled, TwoAtOnceAreOneTooMany) {
  Must(Extend("straight"));
  const int lock = ::open((place_ / "straight.work/.lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(lock, LOCK_EX | LOCK_NB), 0);
  const Outcome second = place_.Run(Extend("straight"));
  ::close(lock);
  EXPECT_EQ(second.code, 5);
  EXPECT_THAT(second.err, HasSubstr("another longspan works in this folder"));
}

}  // namespace
}  // namespace longspan
