// `longspan run` and `longspan eval ppl` from outside: prompts, samplers, drafts, strides.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "program.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Command = std::vector<std::string>;

class RunTest : public testing::Test {
 protected:
  Outcome Run(Command command, const Command& more = {}) const {
    command.insert(command.end(), more.begin(), more.end());
    command.insert(command.end(), {"--threads", "1"});
    return place_.Run(command);
  }
  json RunJson(Command command, const Command& more = {}) const {
    command.emplace_back("--json");
    const Outcome outcome = Run(command, more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  // One line that says what is wrong.
  static void ExpectRefused(const Outcome& outcome, const std::string& why) {
    EXPECT_EQ(outcome.code, 2) << why;
    EXPECT_EQ(outcome.out, "") << why;
    EXPECT_THAT(outcome.err, HasSubstr(why));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }

  Workplace place_;
  const std::string model_ = LONGSPAN_SOURCE_DIR "/models/longspan-base.gguf";
};

// A pipe without a writer would keep a plain open waiting for ever.
TEST_F(RunTest, APipeIsRefusedWhereAModelIsExpectedAndReadWhereATextIs) {
  const std::string pipe = place_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_directory(place_ / "hf");
  WriteFile(place_ / "hf/config.json", ReadFile(LONGSPAN_SOURCE_DIR "/README.md"));
  for (const Command& command :
       std::vector<Command>{{"run", pipe, "-p", "Once"},
                            {"inspect", pipe},
                            {"quantize", pipe, place_ / "out.gguf", "F16"},
                            {"tokenize", pipe, "Once"},
                            {"merge", pipe, place_ / "hf", place_ / "out.gguf"},
                            {"eval", "kld", model_, "--logits", pipe},
                            {"prepare", pipe, "--tokenizer", model_, "--out", place_ / "o"}}) {
    const Outcome outcome = Run(command);
    EXPECT_EQ(outcome.code, 5) << command[0];
    EXPECT_THAT(outcome.err, HasSubstr("pipe: ")) << command[0];
    EXPECT_THAT(outcome.err, HasSubstr("a regular file")) << command[0];
  }
  const Outcome empty = Run({"run", model_, "-n", "2", "-f", pipe});
  EXPECT_EQ(empty.code, 5);
  EXPECT_THAT(empty.err, HasSubstr("start its writer first"));

  const int writer = ::open(pipe.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::write(writer, "Once", 4), 4);
  const pid_t process = place_.Start({"run", model_, "-n", "2", "-f", pipe, "--threads", "1"});
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // until the program has opened the pipe
  ::close(writer);
  EXPECT_EQ(place_.Wait(process).code, 0);
}

TEST_F(RunTest, OneNewlineAtTheEndOfAFileIsNoPartOfThePrompt) {
  const auto tokens_of = [&](const std::string& text, const Command& more = {}) {
    WriteFile(place_ / "prompt.txt", text);
    return RunJson({"run", model_, "-n", "3", "--greedy", "-f", place_ / "prompt.txt"}, more)
        .at("prompt_tokens")
        .get<int>();
  };
  const auto given = [&](const std::string& text) {
    return RunJson({"run", model_, "-n", "3", "--greedy", "-p", text}).at("prompt_tokens").get<int>();
  };
  const std::string text = "It was a dark and stormy night";
  const int plain = given(text), with_newline = given(text + "\n");
  EXPECT_LT(plain, with_newline);
  EXPECT_EQ(tokens_of(text), plain);
  EXPECT_EQ(tokens_of(text + "\n"), plain);
  EXPECT_EQ(tokens_of(text + "\r\n"), plain);
  EXPECT_EQ(tokens_of(text + "\n\n"), with_newline);
  EXPECT_EQ(tokens_of(text + "\n", {"--keep-newline"}), with_newline);
}

// A draft that is more exact than what it guesses for is slower and guesses worse. The same model with the
// same choices guesses everything right.
TEST_F(RunTest, ADraftIsRunAsTheModelIsUnlessTold) {
  const std::string small = place_ / "small.gguf";
  ASSERT_EQ(Run({"quantize", model_, small, "Q2_K"}).code, 0);
  // The speculation of several texts together.
  const auto draft = [&](const Command& more) {
    json sum;
    for (const char* prompt : {"She", "The captain, who", "In the year"}) {
      const json one = RunJson({"run", small, "-p", prompt, "-n", "150", "--greedy", "--draft", small,
                                "--draft-tokens", "1"},
                               more)
                           .at("speculation");
      sum["draft"] = one.at("draft");
      for (const char* count : {"accepted", "proposed"})
        sum[count] = sum.value(count, 0) + one.at(count).get<int>();
    }
    return sum;
  };
  const json as_model = draft({});
  EXPECT_EQ(as_model.at("draft").at("activations"), "int8");
  EXPECT_EQ(as_model.at("draft").at("cache_type"), "Q8_0");
  EXPECT_EQ(as_model.at("accepted"), as_model.at("proposed"));
  const json all_exact = draft({"--activations", "exact", "--cache-type", "q8_0"});
  EXPECT_EQ(all_exact.at("draft").at("activations"), "exact");
  EXPECT_EQ(all_exact.at("draft").at("cache_type"), "Q8_0");
  EXPECT_EQ(all_exact.at("accepted"), all_exact.at("proposed"));
  const json told = draft({"--draft-activations", "exact", "--draft-cache-type", "q4_0"});
  EXPECT_EQ(told.at("draft").at("activations"), "exact");
  EXPECT_EQ(told.at("draft").at("cache_type"), "Q4_0");
  const json exact = draft({"--draft-activations", "exact"});
  EXPECT_EQ(exact.at("draft").at("cache_type"), "F16");
  EXPECT_LT(told.at("accepted").get<int>(), told.at("proposed").get<int>());
}

// A prompt of many chunks: what was left out is said, and what the option means is checked.
TEST_F(RunTest, SparsePrefillSaysWhatItLeftOut) {
  std::string text;
  for (int i = 0; i < 700; ++i) text += "word " + std::to_string(i) + " ";
  const Command run{"run", model_, "-p", text, "-n", "2", "--greedy"};
  EXPECT_FALSE(RunJson(run).contains("sparse_prefill"));
  const json on = RunJson(run, {"--sparse-prefill=0.5", "--sparse-from", "512"}).at("sparse_prefill");
  EXPECT_EQ(on.at("from"), 512);
  EXPECT_NEAR(on.at("threshold").get<double>(), 0.5, 1e-6);
  EXPECT_LT(on.at("chosen").get<double>(), 1);
  EXPECT_GT(on.at("chosen").get<double>(), 0);
  EXPECT_THAT(Run(run, {"--stats", "--sparse-prefill", "--sparse-from", "512"}).err,
              HasSubstr("sparse prefill 0.95 from 512, attended to "));
  // Not deep enough for the default.
  EXPECT_EQ(RunJson(run, {"--sparse-prefill"}).at("tokens"), RunJson(run).at("tokens"));
  ExpectRefused(Run(run, {"--sparse-prefill=1.5"}), "0.01 to 1");
  ExpectRefused(Run(run, {"--sparse-from", "512"}), "--sparse-prefill");
}

TEST_F(RunTest, SamplerOptionsThatMeanNothingAreRefused) {
  const Command run{"run", model_, "-p", "Hello", "-n", "1"};
  for (const char* value : {"nan", "inf", "-inf", "-1", "-1e-310"}) {
    for (const auto& [option, name] :
         std::vector<std::pair<std::string, std::string>>{{"--temperature", "temperature"},
                                                          {"--top-p", "top-p"},
                                                          {"--min-p", "min-p"},
                                                          {"--repeat-penalty", "repeat penalty"}}) {
      ExpectRefused(Run(run, {option + "=" + value}), name);
    }
  }
  ExpectRefused(Run(run, {"--top-k=-1"}), "top-k");
  ExpectRefused(Run(run, {"--repeat-window=-1"}), "repeat window");
  ExpectRefused(Run(run, {"--rope-theta=inf"}), "inf");
}

TEST_F(RunTest, SamplerOptionsAtTheirEndsWrite) {
  const Command run{"run", model_, "-p", "Hello", "-n", "8"};
  const json greedy = RunJson(run, {"--greedy"});
  EXPECT_EQ(RunJson(run, {"--temperature", "1e-310"}).at("tokens"), greedy.at("tokens"));
  EXPECT_EQ(RunJson(run, {"--temperature", "1e308", "--top-k", "1"}).at("tokens"), greedy.at("tokens"));
  EXPECT_EQ(RunJson(run, {"--top-p", "1e-310"}).at("tokens"), greedy.at("tokens"));
  for (const Command& more : std::vector<Command>{{"--top-k", "4611686018427387904"},
                                                  {"--repeat-penalty", "1e300"},
                                                  {"--repeat-window", "9223372036854775807"}}) {
    EXPECT_EQ(RunJson(run, more).at("tokens").size(), 8u) << more[0];
  }
  // With the largest number of tokens, the model writes until it ends its text, here at the end of its
  // context.
  EXPECT_EQ(
      RunJson({"run", model_, "-p", "Hello", "-n", "9223372036854775807", "--context", "20"}).at("stop"),
      "context full");
}

// A row for a context that no document reaches would be a number of another context.
TEST_F(RunTest, AContextThatNoDocumentFillsIsRefused) {
  WriteFile(place_ / "text.txt", "Once upon a time there was a river.");
  const Command file{"--file", place_ / "text.txt", "--context"};
  for (const std::string context : {"500", "8,500"}) {
    Command measure{"eval", "ppl", model_, "--stride", "4"};
    measure.insert(measure.end(), file.begin(), file.end());
    ExpectRefused(Run(measure, {context}), "context 500: no document fills it, the longest of 1 has");
  }
  Command kld{"eval", "kld", model_, "--reference", model_};
  kld.insert(kld.end(), file.begin(), file.end());
  ExpectRefused(Run(kld, {"500"}), "context 500: no document fills it, the longest of 1 has");
}

TEST_F(RunTest, TheDefaultStrideFitsAnyContext) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "The captain looked at the sea and said nothing for a while. ";
  WriteFile(place_ / "text.txt", text);
  const Command measure{"eval", "ppl", model_, "--file", place_ / "text.txt", "--max-tokens", "64"};
  EXPECT_EQ(RunJson(measure, {"--context", "64"}).at("stride"), 32);
  EXPECT_EQ(RunJson(measure, {"--context", "128,64"}).at("stride"), 32);
  EXPECT_EQ(RunJson(measure, {"--context", "64", "--stride", "63"}).at("stride"), 63);
  ExpectRefused(Run(measure, {"--context", "64", "--stride", "64"}), "stride 64: expected 1 to 63");
}

}  // namespace
}  // namespace longspan
