#include "release/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::string_view kLeast = R"(base: {model: base.gguf}
data: {inputs: text}
context: {target: 4_096}
train:
  learning_rate: 2e-4
  steps: 10
release: {name: small, license: mit}
)";

class RecipeTest : public ::testing::Test {
 protected:
  Recipe Load(std::string_view text) {
    WriteFile(folder_ / "r.yml", text);
    return LoadRecipe(folder_ / "r.yml");
  }
  // The least recipe with one piece of its text replaced.
  Recipe LoadWith(std::string_view from, std::string_view to) {
    std::string text(kLeast);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return Load(text.replace(at, from.size(), to));
  }
  void ExpectFault(std::string_view from, std::string_view to, const std::string& message) {
    EXPECT_THAT([&] { LoadWith(from, to); }, ThrowsMessage<Error>(HasSubstr(message)));
  }
  TestFolder folder_;
};

TEST_F(RecipeTest, LeastIsEnough) {
  const Recipe recipe = Load(kLeast);
  EXPECT_EQ(recipe.base, folder_ / "base.gguf");
  EXPECT_EQ(recipe.base_id, "base");
  EXPECT_EQ(recipe.context.target, 4096);
  EXPECT_EQ(recipe.train.steps, 10);
  EXPECT_FALSE(recipe.train.epochs.has_value());
  EXPECT_DOUBLE_EQ(recipe.train.learning_rate, 2e-4);
  EXPECT_THAT(recipe.eval.contexts, ElementsAre(4096));
  EXPECT_THAT(recipe.data.inputs, ElementsAre("text"));
  EXPECT_EQ(recipe.release.out, folder_ / "out/small");
}

TEST_F(RecipeTest, BlankKeysKeepTheirDefaults) {
  EXPECT_EQ(LoadWith("  steps: 10\n", "  steps: 10\n  batch_size:\n").train.batch_size, 1);
}

TEST_F(RecipeTest, ErrorsNameFileLineAndKey) {
  ExpectFault("  steps: 10", "  stepps: 10", "r.yml:6: train.stepps: unknown key; did you mean 'steps'?");
  ExpectFault("  steps: 10", "  steps: 10\n  zzzzzzzz: 1", "r.yml:7: train.zzzzzzzz: unknown key");
  ExpectFault("steps: 10", "steps: ten", "r.yml:6: train.steps: expected an integer, found 'ten'");
  ExpectFault("steps: 10", "steps: [1, 2]", "r.yml:6: train.steps: expected an integer, found a list");
  ExpectFault("  learning_rate: 2e-4\n", "", "train.learning_rate: is missing");
  ExpectFault("steps: 10", "steps: 10\n  steps: 11", "r.yml:7: train.steps: given twice");
  ExpectFault("steps: 10", "steps: 10\n  epochs: 1", "r.yml:6: train.steps: expected either steps or epochs");
  ExpectFault("steps: 10", "steps: 10\n  rank: 0", "r.yml:7: train.rank: expected 1 to 65536, found 0");
  ExpectFault("steps: 10", "steps: 10\n  adapter: dora",
              "train.adapter: expected one of full, lora, rslora, found 'dora'");
  ExpectFault("steps: 10", "steps: 10\n  targets: [q, x]",
              "train.targets: expected q, k, v, o, gate, up, down, found 'x'");
  ExpectFault("steps: 10", "steps: 10\n  learning_rte: nan", "did you mean 'learning_rate'?");
  ExpectFault("2e-4", "nan", "r.yml:5: train.learning_rate: expected a number");
  ExpectFault("data: {inputs: text}", "data: text",
              "r.yml:2: data: expected a mapping of keys, found 'text'");
  ExpectFault("data: {inputs: text}\n", "", "data: is missing");
  ExpectFault("name: small", "name: ../small", "release.name: expected letters");
  ExpectFault("context: {target: 4_096}", "context: {target: 4_096, window: 8_192}",
              "context.window: 8192 is more than");
  ExpectFault("base:", "rope: {scaling: magic}\nbase:", "rope.scaling: rope scaling 'magic'");
  ExpectFault("base:", "extra: 1\nbase:", "r.yml:1: extra: unknown key");
}

TEST_F(RecipeTest, RefusesWhatIsNotYaml) {
  EXPECT_THAT([&] { Load("base: [1, 2\nfoo: }"); }, ThrowsMessage<Error>(HasSubstr("r.yml:")));
  EXPECT_THAT([&] { Load(std::string(100'000, '[')); }, ThrowsMessage<Error>(HasSubstr("nested deeper")));
  EXPECT_THAT([&] { Load("just text"); }, ThrowsMessage<Error>(HasSubstr("expected a mapping of keys")));
  EXPECT_THAT([&] { Load(""); }, ThrowsMessage<Error>(HasSubstr("base: is missing")));
  EXPECT_THROW(LoadRecipe(folder_ / "absent.yml"), Error);
}

TEST_F(RecipeTest, UnderscoresStandBetweenDigits) {
  EXPECT_EQ(LoadWith("4_096", "65_536").context.target, 65'536);
  for (const char* bad : {"_4096", "4096_", "4__096", "4_096x", "40_9.6", "99999999999999999999"}) {
    ExpectFault("4_096", bad, "r.yml:3: context.target: expected an integer");
  }
}

TEST_F(RecipeTest, PatternsFindFiles) {
  WriteFile(folder_ / "v1/pod/a.pod", "text");
  WriteFile(folder_ / "v2/pod/b.pod", "text");
  const Recipe recipe = LoadWith("inputs: text", "inputs: ['*/pod']");
  EXPECT_THAT(ResolveInputs(recipe, recipe.data.inputs), ElementsAre(folder_ / "v1/pod", folder_ / "v2/pod"));
  const Recipe absent = LoadWith("inputs: text", "inputs: none/*, packages: [perl-doc]");
  EXPECT_THAT([&] { ResolveInputs(absent, absent.data.inputs); },
              ThrowsMessage<Error>(HasSubstr("apt-get install perl-doc")));
}

TEST(ShippedRecipes, Load) {
  const std::filesystem::path folder = std::filesystem::path(LONGSPAN_SOURCE_DIR) / "recipes";
  const Recipe demo = LoadRecipe(folder / "demo.yml");
  EXPECT_EQ(demo.context.target, 4096);
  EXPECT_EQ(demo.train.adapter, AdapterKind::kRsLora);
  const Recipe large = LoadRecipe(folder / "llama3-8b-64k.yml");
  EXPECT_EQ(large.context.target, 65'536);
  EXPECT_EQ(large.train.rank, 256);
  EXPECT_DOUBLE_EQ(large.rope.release_theta.value(), 2e6);
}

}  // namespace
}  // namespace longspan
