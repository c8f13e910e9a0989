// train, from outside: what it does to its folder, and what it says of a base that cannot be trained.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <thread>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// A folder with a small new model to train, in run.yml and, as an adapter of the base, in adapter.yml.
class TrainProgram : public testing::Test {
 protected:
  void SetUp() override {
    const Outcome prepared = place_.Run({"prepare", Documents(place_), "--tokenizer", kBase, "--out",
                                         place_ / "shards", "--validation", "0.3"});
    ASSERT_EQ(prepared.code, 0) << prepared.err;
    WriteFile(place_ / "full.yml", Full("steps: 2, out: full"));
    WriteFile(place_ / "adapter.yml", Adapter(kBase, "steps: 1, out: run"));
  }
  std::string Full(const std::string& train) const {
    return "base:\n  new: {vocabulary: " + kBase +
           ", dim: 32, layers: 1, heads: 2, hidden_dim: 64, context: 32}\n"
           "data: {shards: shards}\ntrain: {learning_rate: 1e-3, eval_examples: 0, " +
           train + "}\n";
  }
  std::string Adapter(const std::string& base, const std::string& train) const {
    return "base: {model: " + base +
           "}\ndata: {shards: shards}\ncontext: {target: 1024, window: 32}\n"
           "train: {adapter: rslora, rank: 2, learning_rate: 1e-3, eval_examples: 0, " +
           train + "}\n";
  }

  Workplace place_;
};

TEST_F(TrainProgram, ReplacesNothingThatAnotherRunMade) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> runs{
      {"full", {"model.gguf", "log.jsonl", "summary.json"}},
      {"adapter",
       {"adapter/adapter_model.safetensors", "adapter/adapter_config.json", "log.jsonl", "summary.json"}}};
  for (const auto& [name, files] : runs) {
    const std::string out = place_ / (name == "full" ? "full" : "run");
    for (const std::string& file : files) WriteFile(fs::path(out) / file, "precious");
    const Outcome refused = place_.Run({"train", place_ / (name + ".yml")});
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("another train.out"), HasSubstr("--force")));
    for (const std::string& file : files) {
      EXPECT_EQ(ReadFile(fs::path(out) / file), "precious");
      EXPECT_THAT(refused.err, HasSubstr(file));
    }
    const Outcome forced = place_.Run({"train", place_ / (name + ".yml"), "--force"});
    EXPECT_EQ(forced.code, 0) << forced.err;
    for (const std::string& file : files) EXPECT_NE(ReadFile(fs::path(out) / file), "precious");
    const Outcome again = place_.Run({"train", place_ / (name + ".yml")});  // its own, now
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_THAT(again.err, HasSubstr("going on from step"));
  }
}

TEST_F(TrainProgram, LeavesEventsForTensorBoard) {
  for (int run = 0; run < 2; ++run) {  // the second has nothing to do
    ASSERT_EQ(place_.Run({"train", place_ / "full.yml"}).code, 0);
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(place_ / "full/runs")) files.push_back(entry.path());
    ASSERT_EQ(files.size(), 1u);
    EXPECT_THAT(ReadFile(files[0]), AllOf(HasSubstr("brain.Event:2"), HasSubstr("train/loss"),
                                          HasSubstr("train/train_runtime"), HasSubstr("learning_rate")));
  }
}

TEST_F(TrainProgram, ReplacesNoInputByALink) {
  fs::copy_file(kBase, place_ / "base.gguf");
  fs::create_directory(place_ / "full");
  fs::create_symlink("../base.gguf", place_ / "full/model.gguf");
  WriteFile(place_ / "base.yml",
            "base: {model: base.gguf}\ndata: {shards: shards}\ncontext: {target: 1024, window: 32}\n"
            "train: {adapter: full, learning_rate: 1e-3, steps: 1, out: full}\n");
  const Outcome outcome = place_.Run({"train", place_ / "base.yml", "--force"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("inputs are never replaced"));
  EXPECT_TRUE(ReadFile(place_ / "base.gguf") == ReadFile(kBase));
}

TEST_F(TrainProgram, TwoRunsDoNotShareAFolder) {
  WriteFile(place_ / "long.yml", Full("steps: 1000000, out: full"));
  const pid_t first = place_.Start({"train", place_ / "long.yml"});
  const std::string lock = place_ / "full/.lock";
  const auto start = std::chrono::steady_clock::now();
  while ((!fs::exists(lock) || ReadFile(lock) != std::to_string(first)) &&
         std::chrono::steady_clock::now() - start < std::chrono::seconds(60))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::string err = ReadFile(place_ / "stderr");
  const Outcome second = place_.Run({"train", place_ / "full.yml"});
  EXPECT_EQ(second.code, 5);
  EXPECT_THAT(second.err, HasSubstr("full: another longspan works in this folder (process " +
                                    std::to_string(first) + "); wait for it, or stop it"));
  EXPECT_EQ(::kill(first, SIGINT), 0);
  EXPECT_EQ(place_.Wait(first).code, 130) << err;
  fs::remove_all(place_ / "full");
  EXPECT_EQ(place_.Run({"train", place_ / "full.yml"}).code, 0);
}

// A model whose weights are no numbers is named as the cause, by whatever finds it.
TEST_F(TrainProgram, ADamagedModelIsNamed) {
  std::string bytes = ReadFile(kBase);
  std::fill(bytes.end() - std::ssize(bytes) / 3, bytes.end(), '\xff');
  const std::string model = place_ / "nan.gguf";
  WriteFile(model, bytes);
  WriteFile(place_ / "nan.yml", Adapter(model, "steps: 1, out: run"));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"train", place_ / "nan.yml"},
        {"run", model, "-p", "Once", "-n", "2"},
        {"eval", "passkey", model, "--lengths", "128", "--depths", "1", "--trials", "1"}}) {
    const Outcome outcome = place_.Run(command);
    EXPECT_EQ(outcome.code, 3) << command[0];
    EXPECT_THAT(outcome.err,
                AllOf(HasSubstr("longspan: " + model + ": "), testing::Not(HasSubstr("learning_rate"))))
        << command[0];
  }
  const Outcome draft = place_.Run({"run", kBase, "-p", "Once", "-n", "8", "--draft", model});
  EXPECT_THAT(draft.err, HasSubstr(kBase + " or " + model + ": "));
}

TEST_F(TrainProgram, SaysWhatIsNoFolder) {
  fs::create_symlink("nowhere", place_ / "full");
  const Outcome outcome = place_.Run({"train", place_ / "full.yml"});
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("full: expected a folder, found a link that leads to none"));
}

}  // namespace
}  // namespace longspan
