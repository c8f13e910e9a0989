// What commands do to files that exist already, and with outputs that cannot be written.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

using Command = std::vector<std::string>;

Command operator+(Command command, const Command& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string Joined(const Command& command) {
  std::string text = "longspan";
  for (const std::string& word : command) text += " " + word;
  return text;
}

// A folder with the base model, its shards and its Hugging Face folder, and a text.
class Outputs : public testing::Test {
 protected:
  void SetUp() override {
    fs::copy_file(kBase, model_);
    WriteFile(place_ / "text.txt", "Once upon a time there was a river. It went to the sea.");
  }
  void MustRun(const Command& command) {
    const Outcome outcome = place_.Run(command);
    ASSERT_EQ(outcome.code, 0) << Joined(command) << ": " << outcome.err;
  }
  // `command` is refused for its output in a line that has `why`, and the file `input` stays as it was.
  void ExpectRefused(const Command& command, const std::string& input, const std::string& why) {
    const std::string before = ReadFile(input);
    const auto written = fs::last_write_time(input);
    const Outcome outcome = place_.Run(command);
    EXPECT_EQ(outcome.code, 2) << Joined(command);
    EXPECT_THAT(outcome.err, HasSubstr(why)) << Joined(command);
    const auto error = outcome.err.find("longspan: ");
    EXPECT_EQ(std::ranges::count(outcome.err.substr(std::min(error, outcome.err.size())), '\n'), 1)
        << outcome.err;
    EXPECT_TRUE(ReadFile(input) == before) << Joined(command);
    EXPECT_EQ(fs::last_write_time(input), written) << Joined(command);
  }

  Workplace place_;
  std::string model_ = place_ / "model.gguf";
};

TEST_F(Outputs, AnInputIsNeverOneByWhateverPath) {
  fs::create_symlink("model.gguf", place_ / "link.gguf");
  fs::create_hard_link(model_, place_ / "hard.gguf");
  fs::create_directory(place_ / "sub");
  for (const std::string& out :
       {model_, place_ / "link.gguf", place_ / "hard.gguf", place_ / "sub/../model.gguf"}) {
    ExpectRefused({"quantize", model_, out, "Q8_0", "--force"}, model_, "never replaced");
  }
  ExpectRefused({"quantize", place_ / "link.gguf", model_, "Q8_0", "--force"}, model_, "never replaced");
  EXPECT_TRUE(fs::is_symlink(place_ / "link.gguf"));
}

TEST_F(Outputs, EveryCommandThatWritesRefusesItsInputs) {
  const std::string text = place_ / "text.txt";
  fs::create_directory(place_ / "texts");
  WriteFile(place_ / "texts/a.txt", "text");
  MustRun({"convert", model_, place_ / "hf"});
  const std::vector<std::pair<Command, std::string>> commands{
      {{"merge", model_, place_ / "hf", model_}, model_},
      {{"merge", model_, place_ / "hf", place_ / "hf/config.json"}, place_ / "hf/config.json"},
      {{"quantize", model_, text, "--target-size", "Q4_0", "--calibration", text}, text},
      {{"imatrix", model_, text, "-o", model_}, model_},
      {{"imatrix", model_, text, "-o", text}, text},
      {{"synth", "llama3-8b", model_, "--vocab", model_}, model_},
      {{"tokenizer", "train", place_ / "texts/a.txt", place_ / "texts"}, place_ / "texts/a.txt"},
      {{"eval", "kld", model_, "--file", text, "--save-logits", text}, text},
      {{"eval", "kld", model_, "--file", text, "--save-logits", model_}, model_},
  };
  for (const auto& [command, input] : commands)
    ExpectRefused(command + Command{"--force"}, input, "never replaced");
  ExpectRefused({"imatrix", model_, text, "-o", text, "--resume"}, text, "never replaced");
}

TEST_F(Outputs, AShardOfTheInputIsAnInput) {
  MustRun({"convert", model_, place_ / "shards", "--split-size", "3MB"});
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(place_ / "shards")) shards.push_back(entry.path().string());
  std::ranges::sort(shards);
  ASSERT_GT(shards.size(), 1u);
  const Outcome folder = place_.Run({"inspect", place_ / "shards"});
  EXPECT_THAT(folder.err, HasSubstr("name its first shard, " + shards[0]));
  for (const std::string& out : shards) {
    ExpectRefused({"quantize", shards[0], out, "Q8_0", "--force"}, out, "never replaced");
    ExpectRefused({"convert", shards[0], out, "--force"}, out, "never replaced");
  }
}

TEST_F(Outputs, AnExistingFileNeedsForce) {
  const std::string out = place_ / "out.gguf", text = place_ / "text.txt";
  MustRun({"convert", model_, place_ / "hf"});
  fs::create_directory(place_ / "shards");
  WriteFile(place_ / "shards/validation.lsd", "precious");
  const std::vector<Command> commands{
      {"quantize", model_, out, "Q8_0"},
      {"convert", place_ / "hf", out},
      {"imatrix", model_, text, "-o", out, "--chunk-tokens", "8"},
      {"synth", "llama3-8b", out, "--layers", "1"},
      {"tokenizer", "train", out, text, "--vocab-size", "258"},
      {"eval", "kld", model_, "--file", text, "--save-logits", out, "--context", "8"},
      {"merge", model_, place_ / "hf", out},
  };
  for (const Command& command : commands) {
    WriteFile(out, "precious");
    ExpectRefused(command, out, "--force");
  }
  ExpectRefused({"prepare", text, "--tokenizer", model_, "--out", place_ / "shards"},
                place_ / "shards/validation.lsd", "--force");
  // Replaced with --force. Where the new file cannot be made, the old one stays.
  EXPECT_NE(place_.Run({"merge", model_, place_ / "hf", out, "--force"}).code, 0);
  EXPECT_EQ(ReadFile(out), "precious");
  for (const Command& command : {commands[0], commands[1], commands[2], commands[4], commands[5]}) {
    WriteFile(out, "precious");
    MustRun(command + Command{"--force"});
    EXPECT_NE(ReadFile(out).substr(0, 8), "precious") << Joined(command);
  }
  MustRun({"quantize", model_, model_, "Q8_0", "--dry-run"});  // writes nothing
}

TEST_F(Outputs, AFolderIsNeverReplaced) {
  fs::create_directory(place_ / "mine");
  WriteFile(place_ / "mine/file", "precious");
  ExpectRefused({"convert", model_, place_ / "mine", "--force"}, place_ / "mine/file",
                "new or an empty folder");
  ExpectRefused({"quantize", model_, place_ / "mine", "Q8_0", "--force"}, place_ / "mine/file",
                "is a folder");
}

TEST_F(Outputs, ALinkStaysAndADanglingOneIsFollowed) {
  fs::create_directory(place_ / "disk");
  fs::create_symlink("disk/small.gguf", place_ / "small.gguf");
  MustRun({"quantize", model_, place_ / "small.gguf", "Q8_0"});
  EXPECT_TRUE(fs::is_symlink(place_ / "small.gguf"));
  EXPECT_TRUE(fs::is_regular_file(place_ / "disk/small.gguf"));
  ExpectRefused({"quantize", model_, place_ / "small.gguf", "Q4_0"}, place_ / "disk/small.gguf", "--force");
  MustRun({"quantize", model_, place_ / "small.gguf", "Q4_0", "--force"});
  EXPECT_TRUE(fs::is_symlink(place_ / "small.gguf"));
}

TEST_F(Outputs, ADanglingLinkAsInputIsNamedAndNoInternalError) {
  fs::create_directory(place_ / "hf");
  fs::create_symlink("nowhere", place_ / "hf/config.json");
  fs::create_symlink("nowhere", place_ / "gone.gguf");
  fs::create_symlink("round", place_ / "round");
  for (const Command& command : std::vector<Command>{{"inspect", place_ / "gone.gguf"},
                                                     {"convert", place_ / "hf", place_ / "out.gguf"},
                                                     {"convert", place_ / "gone.gguf", place_ / "out"},
                                                     {"quantize", model_, place_ / "round", "Q8_0"},
                                                     {"train", place_ / "gone.gguf"}}) {
    const Outcome outcome = place_.Run(command);
    EXPECT_GT(outcome.code, 0) << Joined(command);
    EXPECT_LT(outcome.code, 70) << Joined(command);
    EXPECT_THAT(outcome.err,
                HasSubstr(fs::path(command[command[0] == "quantize" ? 2 : 1]).filename().string()));
    EXPECT_THAT(outcome.err, Not(HasSubstr("internal"))) << Joined(command);
  }
}

// The work would be lost otherwise.
TEST_F(Outputs, WhatCannotBeWrittenIsFoundBeforeTheWork) {
  const std::string text = place_ / "text.txt", below_a_file = place_ / "text.txt/out.gguf";
  MustRun({"convert", model_, place_ / "hf"});
  for (const std::string& out : {below_a_file, std::string("/proc/out.gguf")}) {
    for (const Command& command :
         std::vector<Command>{{"quantize", model_, out, "Q8_0"},
                              {"quantize", model_, out, "--target-size", "Q4_0", "--calibration", text},
                              {"imatrix", model_, text, "-o", out, "--chunk-tokens", "8"},
                              {"imatrix", model_, text, "-o", out, "--chunk-tokens", "8", "--resume"},
                              {"merge", model_, place_ / "hf", out},
                              {"tokenizer", "train", out, text, "--vocab-size", "258"},
                              {"prepare", text, "--tokenizer", model_, "--out", out}}) {
      const Outcome outcome = place_.Run(command);
      EXPECT_EQ(outcome.code, 5) << Joined(command) << outcome.err;
      EXPECT_THAT(outcome.err, testing::StartsWith("longspan: ")) << Joined(command);
      EXPECT_THAT(outcome.err, HasSubstr("cannot be written, because")) << Joined(command);
    }
  }
}

// Two runs that write the same file, or a file that the user makes meanwhile.
TEST_F(Outputs, AFileThatAppearsMeanwhileIsKept) {
  const std::string out = place_ / "out.gguf";
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "The captain looked at the sea and said nothing for a while. ";
  WriteFile(place_ / "long.txt", text);
  const pid_t process =
      place_.Start({"imatrix", model_, place_ / "long.txt", "-o", out, "--save-every", "0"});
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  WriteFile(place_ / "mine", "precious");
  fs::rename(place_ / "mine", out);
  const Outcome outcome = place_.Wait(process);
  EXPECT_EQ(ReadFile(out), "precious");
  // 2: it appeared before the program looked.
  EXPECT_THAT(outcome.code, testing::AnyOf(5, 2)) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("--force"));
}

TEST_F(Outputs, OptionsOutOfTheirRangesAreRefusedByName) {
  const std::string out = place_ / "out.gguf", text = place_ / "text.txt";
  for (const auto& [command, option] : std::vector<std::pair<Command, std::string>>{
           {{"merge", model_, place_ / "", out, "--rope-theta", "0.5"}, "--rope-theta"},
           {{"merge", model_, place_ / "", out, "--rope-theta", "1e308"}, "--rope-theta"},
           {{"merge", model_, place_ / "", out, "--rope-factor", "0.0001"}, "--rope-factor"},
           {{"merge", model_, place_ / "", out, "--context", "1"}, "--context"},
           {{"convert", model_, place_ / "hf", "--shard-size", "0"}, "--shard-size"},
           {{"convert", model_, place_ / "split", "--split-size", "0"}, "--split-size"},
           {{"synth", "llama3-8b", out, "--seed", "-1"}, "--seed"},
           {{"eval", "passkey", model_, "--lengths", "100", "--seed", "-1"}, "--seed"},
           {{"imatrix", model_, text, "-o", out, "--resume", "--force"}, "--force"},
           {{"prepare", text, "--tokenizer", model_, "--out", ""}, "--out"},
       }) {
    ExpectRefused(command, model_, option);
  }
  EXPECT_FALSE(fs::exists(place_ / "train.lsd"));
}

TEST_F(Outputs, ASizeBelowThatOfTheNamesIsExplained) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "The captain looked at the sea and said nothing for a while. ";
  WriteFile(place_ / "long.txt", text);
  ExpectRefused(
      {"quantize", model_, place_ / "out.gguf", "--target-size", "1KB", "--calibration", place_ / "long.txt"},
      model_, "alone are");
}

TEST_F(Outputs, ATypeRuleThatDecidesNothingIsRefused) {
  const Command quantize{"quantize", model_, place_ / "out.gguf", "Q8_0", "--type"};
  ExpectRefused(quantize + Command{"nomatch=F16"}, model_, "nomatch=F16: no tensor of");
  ExpectRefused(quantize + Command{"attn_v=F16", "--type", "blk.*attn_v=F32"}, model_,
                "blk.*attn_v=F32: has no effect");
  EXPECT_FALSE(fs::exists(place_ / "out.gguf"));
  MustRun(quantize + Command{"blk.0.attn_v=F16", "--type", "attn_v=F32"});
}

// Every command that prints, with all that it needs, and where it writes.
std::vector<Command> Printers(const Workplace& place, const std::string& model) {
  const std::string text = place / "text.txt";
  return {{"--help"},
          {"--version"},
          {"quantize", "--help"},
          {"inspect", model},
          {"inspect", model, "--json", "--tensors"},
          {"tokenize", model, "Hello"},
          {"tokenize", model, "Hello", "--json"},
          {"tokenize", model, "--decode", "1"},
          {"run", model, "-p", "Once", "-n", "2"},
          {"run", model, "-p", "Once", "-n", "2", "--json"},
          {"eval", "ppl", model, "--file", text, "--context", "8", "--stride", "4"},
          {"eval", "ppl", model, "--file", text, "--context", "8", "--stride", "4", "--json"},
          {"eval", "kld", model, "--reference", model, "--file", text, "--context", "8", "--json"},
          {"quantize", model, place / "q.gguf", "Q8_0", "--dry-run"},
          {"quantize", model, place / "q.gguf", "Q8_0", "--json", "--force"},
          {"convert", model, place / "shards.gguf.d", "--split-size", "3MB"},
          {"imatrix", model, text, "-o", place / "i.gguf", "--chunk-tokens", "8", "--force"},
          {"tokenizer", "train", place / "v.gguf", text, "--vocab-size", "258", "--force"},
          {"prepare", text, "--tokenizer", model, "--out", place / "shards", "--force"}};
}

TEST_F(Outputs, AFullDiskUnderStandardOutputIsAnError) {
  for (const Command& command : Printers(place_, model_)) {
    const Outcome outcome = place_.Run(command, "/dev/full");
    EXPECT_EQ(outcome.code, 5) << Joined(command);
    EXPECT_THAT(outcome.err, HasSubstr("longspan: standard output: ")) << Joined(command);
    fs::remove_all(place_ / "shards.gguf.d");
    EXPECT_EQ(place_.Run(command).code, 0) << Joined(command);
  }
}

// The descriptor of a closed standard output must not be reused for the model.
TEST_F(Outputs, AClosedStandardOutputIsAnErrorAndNotPartOfTheModel) {
  MustRun({"quantize", model_, place_ / "want.gguf", "Q8_0"});
  const Outcome outcome = place_.Run({"quantize", model_, place_ / "got.gguf", "Q8_0"}, "");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_EQ(ReadFile(place_ / "got.gguf"), ReadFile(place_ / "want.gguf"));
}

TEST_F(Outputs, AReaderThatGoesEndsTheProgramQuietly) {
  const std::string log = place_ / "log";
  const std::string command = std::string("('") + LONGSPAN_PROGRAM + "' inspect '" + model_ +
                              "' --json --tensors 2>'" + log + "'; echo $? >>'" + log + "') | true";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string text = ReadFile(log);
  EXPECT_THAT(text, testing::AnyOf("141\n", "0\n")) << text;  // 0 where everything fitted in the pipe
}

}  // namespace
}  // namespace longspan
