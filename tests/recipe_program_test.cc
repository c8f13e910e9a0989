// Recipes from outside: a mistake of each kind is answered in one line and at once, before anything is
// written.
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kRecipe = R"(base:
  model: base.gguf
data:
  inputs: [texts]
context:
  target: 2_048
rope:
  scaling: yarn
train:
  learning_rate: 1e-3
  steps: 100
quantize:
  types: [F16, Q4_K_M]
eval:
  contexts: [512, 2_048]
release:
  name: longer
  license: apache-2.0
  out: out
)";

class RecipeProgram : public testing::Test {
 protected:
  RecipeProgram() {
    std::filesystem::create_symlink(std::string(LONGSPAN_SOURCE_DIR) + "/models/longspan-base.gguf",
                                    place_ / "base.gguf");
    std::filesystem::create_directory(place_ / "texts");
    WriteFile(place_ / "texts/a.txt", "Once upon a time.");
  }

  void Write(std::string_view from, std::string_view to) {
    std::string text(kRecipe);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    WriteFile(place_ / "my.yml", text.replace(at, from.size(), to));
  }
  // `extend` and `recipe check` say the same, within a second, and leave nothing behind.
  void ExpectFault(std::string_view from, std::string_view to, const std::string& line_and_key,
                   const std::string& says) {
    Write(from, to);
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"extend", place_ / "my.yml"}, {"recipe", "check", place_ / "my.yml"}}) {
      const auto start = std::chrono::steady_clock::now();
      const Outcome outcome = place_.Run(command);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      EXPECT_EQ(outcome.code, 3) << outcome.err;
      EXPECT_EQ(outcome.out, "");
      EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
      EXPECT_THAT(outcome.err, StartsWith("longspan: " + place_ / "my.yml" + ":" + line_and_key + ": "));
      EXPECT_THAT(outcome.err, HasSubstr(says));
      EXPECT_LT(took.count(), 5);  // one second, and what a busy machine adds
      EXPECT_FALSE(std::filesystem::exists(place_ / "out.work"));
      EXPECT_FALSE(std::filesystem::exists(place_ / "out"));
    }
  }
  Workplace place_;
};

TEST_F(RecipeProgram, AMistakeOfEachKindIsAnsweredAtOnce) {
  ExpectFault("  steps: 100", "  steps: 100\n  colour: 7", "12: train.colour", "unknown key");
  ExpectFault("  steps: 100", "  step: 100", "11: train.step", "did you mean 'steps'?");
  ExpectFault("steps: 100", "steps: many", "11: train.steps", "expected an integer, found 'many'");
  ExpectFault("steps: 100", "steps: 0", "11: train.steps", "expected 1 or more, found 0");
  ExpectFault("steps: 100", "steps: 100\n  epochs: 1", "11: train.steps", "either steps or epochs");
  ExpectFault("  steps: 100", "\tsteps: 100", "11", "indented by a tab, which YAML does not allow");
  ExpectFault("steps: 100", "steps: 100\n  rank: 5_000", "12: train.rank", "write 256 or less");
  ExpectFault("scaling: yarn", "scaling: none\n  factor: 4", "9: rope.factor",
              "has no meaning with rope.scaling: none");
  ExpectFault("  learning_rate: 1e-3\n", "", "10: train.learning_rate",
              "is missing (Peak of the learning rate");
  ExpectFault("[512, 2_048]", "[512, 2_048]\n  stride: 512", "16: eval.stride", "write 256");
  ExpectFault("[512, 2_048]", "[512, 133_120]", "15: eval.contexts", "write 2048 or less");
  ExpectFault("[512, 2_048]", "[512, 512]", "15: eval.contexts", "512 is given twice");
  ExpectFault("[512, 2_048]", "[512]\n  passkey: {lengths: 20}", "16: eval.passkey.lengths",
              "a prompt needs");
  ExpectFault("Q4_K_M", "Q4_K_X", "13: quantize.types", "Q4_K_M");
  ExpectFault("Q4_K_M", "IQ1_S", "13: quantize.types", "needs an importance matrix");
  ExpectFault("2_048\nrope", "400\n  release: 2_048\nrope", "6: context.target", "write more");
  ExpectFault("scaling: yarn", "scaling: yarn\n  factor: 3", "9: rope.factor", "write 4");
  ExpectFault("[texts]", "[no/*.jsonl]", "4: data.inputs", "no/*.jsonl");
  ExpectFault("base.gguf", "bass.gguf", "2: base.model", "bass.gguf");
  ExpectFault("out: out", "out: texts", "19: release.out", "write another folder");
  ExpectFault("out: out", "out: .", "19: release.out", "write another folder");
  ExpectFault("apache-2.0", "\"mit\\nbase_model: x\"", "18: release.license", "such as apache-2.0");
  WriteFile(place_ / "page.gguf", "<!DOCTYPE html>");
  ExpectFault("base.gguf", "page.gguf", "2: base.model", "page.gguf: ");
}

// Keys that the other command reads are no mistake, and are named.
TEST_F(RecipeProgram, KeysOfTheOtherCommandAreNamed) {
  Write("[texts]", "[texts]\n  shards: s");
  EXPECT_THAT(place_.Run({"recipe", "check", place_ / "my.yml"}).out, HasSubstr("not used: data.shards\n"));
  WriteFile(place_ / "out/foreign.txt", "in the way, so that nothing is begun");
  const Outcome outcome = place_.Run({"extend", place_ / "my.yml"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("my.yml: not used by extend: data.shards\n"));
}

TEST_F(RecipeProgram, CheckSaysThatARecipeIsRight) {
  Write("steps: 100", "steps: 100");
  const Outcome text = place_.Run({"recipe", "check", place_ / "my.yml"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("every setting is right"));
  const Outcome json = place_.Run({"recipe", "check", place_ / "my.yml", "--json"});
  EXPECT_EQ(nlohmann::json::parse(json.out).at("train").at("alpha"), 64);
}

TEST_F(RecipeProgram, KeysAreListed) {
  EXPECT_THAT(place_.Run({"recipe", "keys"}).out, HasSubstr("\ntrain: How the model is trained\n"));
  EXPECT_THAT(place_.Run({"recipe", "keys", "--markdown"}).out, HasSubstr("| `rank` |"));
  EXPECT_GT(nlohmann::json::parse(place_.Run({"recipe", "keys", "--json"}).out).size(), 70u);
}

TEST_F(RecipeProgram, TrainReadsARecipeAndNamesNewKeysForOld) {
  WriteFile(place_ / "old.yml", "model:\n  base: base.gguf\ndata: {shards: s, length: 64}\nout: o\n");
  const Outcome outcome = place_.Run({"train", place_ / "old.yml"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err,
              HasSubstr("old.yml:2: these keys have new names: write base.model for model.base (line 2), "
                        "context.window for data.length (line 3), train.out for out (line 4)"));
}

}  // namespace
}  // namespace longspan
