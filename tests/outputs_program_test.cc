// What commands do to files that exist already, and with outputs that cannot be written.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

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
