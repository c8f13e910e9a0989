// The program from outside: help, errors, and a model's way through the commands.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/testing/shared_data.h"
#include "program.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Command = std::vector<std::string>;

const std::vector<Command> kCommands{
    {"extend"},  {"plan"},     {"prepare"},     {"tokenizer", "train"}, {"train"},           {"merge"},
    {"convert"}, {"quantize"}, {"eval", "ppl"}, {"eval", "kld"},        {"eval", "passkey"}, {"run"},
    {"bench"},   {"inspect"},  {"tokenize"},    {"recipe", "keys"},     {"recipe", "check"}};

Command operator+(Command command, const Command& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

std::string Joined(const Command& command) {
  std::string text = "longspan";
  for (const std::string& word : command) text += " " + word;
  return text;
}

TEST(Help, EveryCommandShowsAnExample) {
  const Workplace place;
  for (const Command& command : kCommands) {
    const Outcome help = place.Run(command + Command{"--help"});
    EXPECT_EQ(help.code, 0) << Joined(command);
    EXPECT_THAT(help.out, HasSubstr("Example")) << Joined(command);
    EXPECT_THAT(help.out, HasSubstr(Joined(command) + " ")) << Joined(command);  // the example's own words
    EXPECT_EQ(help.err, "") << Joined(command);
  }
}

TEST(Help, TheProgramListsEveryCommand) {
  const Workplace place;
  const Outcome help = place.Run({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const Command& command : kCommands)
    EXPECT_THAT(help.out, HasSubstr("\n  " + command[0])) << command[0];
  const Outcome version = place.Run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_NE(version.out, "");
}

// One line on standard error, nothing on standard output, and the file by name.
void ExpectError(const Outcome& outcome, const std::string& names, const std::string& what) {
  EXPECT_GT(outcome.code, 0) << what;
  EXPECT_LT(outcome.code, 126) << what << ": ended by a signal";
  EXPECT_EQ(outcome.out, "") << what;
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << what << ": " << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("longspan")) << what;
  EXPECT_THAT(outcome.err, HasSubstr(names)) << what;
}

// Commands that read a model, with everything else that they need; MODEL stands for the file.
std::vector<Command> Readers(const Workplace& place) {
  WriteFile(place / "text.txt", "Once upon a time.");
  const std::string text = place / "text.txt", out = place / "out.gguf";
  return {{"inspect", "MODEL"},
          {"tokenize", "MODEL", "Hello"},
          {"run", "MODEL", "-p", "Hello", "-n", "1"},
          {"quantize", "MODEL", out, "Q8_0"},
          {"merge", "MODEL", place / "", out},
          {"prepare", text, "--tokenizer", "MODEL", "--out", place / "shards"},
          {"eval", "ppl", "MODEL", "--file", text},
          {"eval", "passkey", "MODEL", "--lengths", "100"}};
}

Command With(Command command, const std::string& model) {
  std::ranges::replace(command, std::string("MODEL"), model);
  return command;
}

TEST(Errors, AMissingFileIsNamed) {
  const Workplace place;
  for (const Command& command : Readers(place)) {
    ExpectError(place.Run(With(command, place / "no-such.gguf")), "no-such.gguf", Joined(command));
  }
  ExpectError(place.Run({"extend", place / "no-such.yml"}), "no-such.yml", "extend");
  ExpectError(place.Run({"train", place / "no-such.yml"}), "no-such.yml", "train");
}

TEST(Errors, AFileOfAnotherKindIsNamed) {
  const Workplace place;
  WriteFile(place / "other.gguf",
            "This is no model, but it is long enough to be one: " + std::string(1000, 'x'));
  for (const Command& command : Readers(place)) {
    ExpectError(place.Run(With(command, place / "other.gguf")), "other.gguf", Joined(command));
  }
  WriteFile(place / "other.yml", "base: [1, 2\n");
  ExpectError(place.Run({"extend", place / "other.yml"}), "other.yml", "extend");
  ExpectError(place.Run({"train", place / "other.yml"}), "other.yml", "train");
}

TEST(Errors, AWrongOptionIsNamed) {
  const Workplace place;
  for (const Command& command : kCommands) {
    ExpectError(place.Run(command + Command{"--no-such-option"}), "", Joined(command));
  }
  ExpectError(place.Run({}), "", "no command");
  ExpectError(place.Run({"strech"}), "strech", "misspelt");
  WriteFile(place / "text.txt", "Once upon a time.");
  for (const Command& command : std::vector<Command>{{"run", place / "text.txt", "--tokens", "minus"},
                                                     {"run", place / "text.txt", "--tokens", "0"},
                                                     {"run", place / "text.txt", "--rope-scaling", "yam"}}) {
    const Outcome outcome = place.Run(command);
    ExpectError(outcome, command[2], Joined(command));
    ExpectError(outcome, command[3], Joined(command));
    EXPECT_LT(outcome.err.size(), 200u) << outcome.err;
  }
}

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    const auto checkpoint = SharedData("models/stories260K.bin"), tokenizer = SharedData("models/tok512.bin");
    if (!checkpoint || !tokenizer) GTEST_SKIP() << "needs shared/data/models/stories260K.bin and tok512.bin";
    const Outcome converted =
        place_.Run({"convert", checkpoint->string(), model_, "--tokenizer", tokenizer->string()});
    ASSERT_EQ(converted.code, 0) << converted.err;
  }
  json RunJson(const Command& command) {
    const Outcome outcome = place_.Run(command + Command{"--json", "--threads", "1"});
    EXPECT_EQ(outcome.code, 0) << Joined(command) << ": " << outcome.err;
    return json::parse(outcome.out);
  }

  Workplace place_;
  std::string model_ = place_ / "stories.gguf";
};

TEST_F(Stories, GoThroughEveryCommand) {
  const json facts = RunJson({"inspect", model_, "--tensors"});
  EXPECT_EQ(facts.at("metadata").at("general.architecture"), "llama");
  EXPECT_EQ(facts.at("metadata").at("llama.block_count"), 5);
  EXPECT_NEAR(facts.at("parameters").get<double>(), 260'000, 10'000);
  EXPECT_EQ(facts.at("tensors").size(), facts.at("tensor_count").get<std::size_t>());

  const std::string small = place_ / "small.gguf";
  const json report = RunJson({"quantize", model_, small, "Q8_0"});
  EXPECT_TRUE(RunJson({"inspect", small}).at("types").contains("Q8_0"));
  EXPECT_LT(std::filesystem::file_size(small), std::filesystem::file_size(model_) / 2);

  const Command story{"-p", "Once upon a time", "-n", "40", "--greedy"};
  const json exact = RunJson(Command{"run", model_} + story), again = RunJson(Command{"run", model_} + story);
  EXPECT_THAT(exact.at("text").get<std::string>(), HasSubstr("there was a little girl named"));
  EXPECT_EQ(exact.at("text"), again.at("text"));
  EXPECT_EQ(exact.at("tokens").size(), 40u);
  const std::string plain = place_.Run(Command{"run", model_} + story).out;
  EXPECT_EQ(plain, exact.at("text").get<std::string>() + "\n");
  EXPECT_FALSE(exact.contains("speculation"));
  const std::vector<Command> speculations{{"--lookup"}, {"--draft", small, "--draft-tokens", "3"}};
  for (const Command& speculation : speculations) {
    const json same = RunJson(Command{"run", model_} + story + speculation);
    EXPECT_EQ(same.at("tokens"), exact.at("tokens")) << Joined(speculation);
    const json& cost = same.at("speculation");
    EXPECT_EQ(cost.at("passes").get<int>() + cost.at("accepted").get<int>(), 39) << Joined(speculation);
    EXPECT_GE(cost.at("proposed"), cost.at("accepted")) << Joined(speculation);
  }
  EXPECT_THAT(RunJson(Command{"run", small} + story).at("text").get<std::string>(),
              HasSubstr("there was a little girl"));

  std::string text;
  for (int i = 0; i < 12; ++i) text += exact.at("text").get<std::string>() + "\n";
  WriteFile(place_ / "text.txt", text);
  const Command measure{"--file", place_ / "text.txt", "--context", "64,128", "--stride",
                        "32",     "--max-tokens",      "200"};
  const json before = RunJson(Command{"eval", "ppl", model_} + measure).at("results");
  const json after = RunJson(Command{"eval", "ppl", small} + measure).at("results");
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(before[1].at("context"), 128);
  EXPECT_GT(before[1].at("perplexity").get<double>(), 1);
  EXPECT_NEAR(after[1].at("perplexity").get<double>(), before[1].at("perplexity").get<double>(), 0.1);
  const json divergence = RunJson({"eval", "kld", small, "--reference", model_, "--file", place_ / "text.txt",
                                   "--context", "64", "--max-tokens", "200"});
  EXPECT_GT(divergence.at("mean").get<double>(), 0);
  EXPECT_LT(divergence.at("mean").get<double>(), 0.01);
  // The same with a reference that was run before; a window of 64 has 31 tokens to be compared.
  const std::string logits = place_ / "base.kld";
  const json saved = RunJson({"eval", "kld", model_, "--save-logits", logits, "--file", place_ / "text.txt",
                              "--context", "64", "--max-tokens", "200"});
  EXPECT_EQ(saved.at("tokens"), 6 * 31);
  const json with_saved = RunJson({"eval", "kld", small, "--logits", logits});
  EXPECT_EQ(with_saved.at("tokens"), 6 * 31);
  EXPECT_EQ(with_saved.at("context"), 64);
  EXPECT_NEAR(with_saved.at("mean").get<double>(), divergence.at("mean").get<double>(), 1e-3);
  ExpectError(place_.Run({"eval", "kld", small, "--logits", place_ / "text.txt"}), "text.txt", "no logits");
  ExpectError(place_.Run({"eval", "kld", small, "--file", place_ / "text.txt"}), "--reference",
              "nothing to compare with");
}

TEST_F(Stories, TokensComeBackAsText) {
  const std::string text = "Lily's friend said: \"Héllo, 世界!\"";
  const json tokens = RunJson({"tokenize", model_, text});
  EXPECT_EQ(tokens.at("count"), tokens.at("ids").size());
  std::string ids;
  for (const json& id : tokens.at("ids")) ids += id.dump() + ",";
  EXPECT_EQ(RunJson({"tokenize", model_, "--decode", ids}).at("text"), text);
  EXPECT_EQ(place_.Run({"tokenize", model_, text, "--count"}).out, tokens.at("count").dump() + "\n");
}

TEST_F(Stories, TruncatedAnywhereAreRefusedByName) {
  const std::string whole = ReadFile(model_), cut = place_ / "cut.gguf";
  for (const double share : {0.0, 0.001, 0.01, 0.02, 0.3, 0.99}) {
    WriteFile(cut, std::string_view(whole).substr(
                       0, static_cast<std::size_t>(share * static_cast<double>(whole.size()))));
    for (const Command& command : Readers(place_)) {
      ExpectError(place_.Run(With(command, cut)), "cut.gguf",
                  Joined(command) + " at " + std::to_string(share));
    }
  }
}

TEST_F(Stories, NothingIsLeftBehindByAnError) {
  const std::string out = place_ / "out.gguf";
  ExpectError(place_.Run({"quantize", model_, out, "Q9_9"}), "Q9_9", "quantize to an unknown type");
  EXPECT_FALSE(std::filesystem::exists(out));
  WriteFile(place_ / "file", "not a folder");
  const Outcome nowhere = place_.Run({"quantize", model_, place_ / "file/out.gguf", "Q8_0"});
  EXPECT_GT(nowhere.code, 0);
  EXPECT_THAT(nowhere.err, HasSubstr(place_ / "file"));
}

// A vocabulary, shards and a model of one's own, then an adapter, merged.
TEST(Training, FromTextToAMergedModel) {
  const Workplace place;
  std::filesystem::create_directory(place / "texts");
  for (int i = 0; i < 6; ++i) {
    std::string text;
    for (int j = 0; j < 60; ++j)
      text += "The cat number " + std::to_string(i * j) + " saw the river and sang. ";
    WriteFile(place / ("texts/" + std::to_string(i) + ".txt"), text);
  }
  const auto run = [&](const Command& command) {
    const Outcome outcome = place.Run(command + Command{"--threads", "1"});
    ASSERT_EQ(outcome.code, 0) << Joined(command) << ": " << outcome.err;
  };
  run({"tokenizer", "train", place / "vocab.gguf", place / "texts", "--vocab-size", "300"});
  run({"prepare", place / "texts", "--tokenizer", place / "vocab.gguf", "--out", place / "shards",
       "--validation", "0.2"});
  const std::string data = "data: {shards: shards}\n";
  WriteFile(
      place / "base.yml",
      "base:\n  new: {vocabulary: vocab.gguf, dim: 32, layers: 1, heads: 2, hidden_dim: 64, context: 32}\n" +
          data + "train: {learning_rate: 1e-2, steps: 4, out: base}\n");
  run({"train", place / "base.yml"});
  WriteFile(place / "adapter.yml", "base: {model: base/model.gguf}\ncontext: {target: 128}\n" + data +
                                       "train: {learning_rate: 1e-2, steps: 4, rank: 4, out: stretched}\n");
  run({"train", place / "adapter.yml"});
  run({"merge", place / "base/model.gguf", place / "stretched/adapter", place / "merged.gguf"});
  run({"convert", place / "stretched/adapter", place / "adapter.gguf", "--base", place / "base/model.gguf"});
  run({"merge", place / "base/model.gguf", place / "adapter.gguf", place / "merged2.gguf"});
  run({"run", place / "merged.gguf", "-p", "The cat", "-n", "4"});

  // Unmerged it is the same model, from either file. Half of the adapter, or twice, is another model.
  const auto loss = [&](const Command& model) {
    const Outcome outcome = place.Run(Command{"eval", "ppl"} + model +
                                      Command{"--file", place / "texts/0.txt", "--context", "32", "--stride",
                                              "16", "--json", "--threads", "1"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out).at("results")[0].at("nll").get<double>();
  };
  const std::string base = place / "base/model.gguf", peft = place / "stretched/adapter",
                    gguf = place / "adapter.gguf";
  const double merged = loss({place / "merged.gguf"}), plain = loss({base});
  ASSERT_GT(std::abs(merged - plain), 1e-4);
  const double near = std::abs(merged - plain) / 50;
  EXPECT_NEAR(loss({base, "--adapter", peft}), merged, near);
  EXPECT_NEAR(loss({base, "--adapter", gguf + ":1"}), merged, near);
  EXPECT_NEAR(loss({base, "--adapter", gguf + ":0.5", "--adapter", peft + ":0.5"}), merged, near);
  EXPECT_NEAR(loss({base, "--adapter", gguf + ":0"}), plain, near);
  EXPECT_GT(std::abs(loss({base, "--adapter", gguf + ":3"}) - merged), near);
  ExpectError(place.Run({"run", base, "--adapter", place / "nowhere", "-p", "x"}), "nowhere", "no adapter");
}

}  // namespace
}  // namespace longspan
