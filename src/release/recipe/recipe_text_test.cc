#include "release/recipe/recipe_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "release/recipe/recipe_keys.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::filesystem::path Source() { return LONGSPAN_SOURCE_DIR; }

// The keys of `recipe` with paths that do not depend on how they are written.
std::vector<KeyValue> Values(const Recipe& recipe) {
  std::vector<KeyValue> keys = ListKeys(recipe).keys;
  for (KeyValue& key : keys) {
    if (key.type == KeyType::kPath && !key.values.empty())
      key.values = {std::filesystem::path(key.values.front()).lexically_normal().string()};
  }
  return keys;
}

TEST(RecipeText, ReadsBackEqual) {
  for (const auto& [name, use] :
       {std::pair{"demo.yml", kForExtend}, std::pair{"llama3-8b-64k.yml", kForExtend},
        std::pair{"results/full-length.yml", kForExtend}, std::pair{"base-recall.yml", kForTrain},
        std::pair{"base.yml", kForTrain}}) {
    const Recipe recipe = LoadRecipe(Source() / "recipes" / name, use);
    const std::string text = RecipeText(recipe);
    EXPECT_EQ(Values(ParseRecipe(recipe.file, text, use)), Values(recipe)) << text;
  }
}

TEST(RecipeText, HoldsWhatAProgramChoseAndWhy) {
  const TestFolder folder;
  Recipe recipe;
  recipe.file = folder / "recipe.yml";
  recipe.base = "/models/a base #1.gguf";
  recipe.data.inputs = {"/texts/*.jsonl", "b, c"};
  recipe.context.target = 65'536;
  recipe.context.window = 2048;
  recipe.rope.theta = 4e6;
  recipe.train.rank = 32;
  recipe.train.alpha = 64;  // the default of a rank of 64
  recipe.train.learning_rate = 2e-5;
  recipe.train.steps = 100;
  recipe.release.name = "x";
  recipe.release.license = "apache-2.0";
  recipe.release.out = folder / "release";
  recipe.release.sample.prompt = "Once upon\na \"time\"";
  CompleteRecipe(recipe);
  WriteRecipe(recipe, {{"", "Chosen by longspan.\n\nRun it with longspan extend."},
                       {"rope", "The base's theta times the stretch"},
                       {"train.rank", "a quarter of the width at most"},
                       {"train.batch_size", "as many as fit"}});
  const Recipe read = LoadRecipe(recipe.file);
  EXPECT_EQ(Values(read), Values(recipe)) << read.text;
  EXPECT_THAT(read.text, HasSubstr("# Chosen by longspan.\n#\n# Run it with longspan extend.\n\nbase:\n"));
  EXPECT_THAT(read.text, HasSubstr("\n# The base's theta times the stretch\nrope:\n  theta: 4000000\n"));
  EXPECT_THAT(read.text, HasSubstr("  rank: 32                          # a quarter of the width at most\n"));
  EXPECT_THAT(read.text, HasSubstr("  batch_size: 1                     # as many as fit\n"));  // asked for
  EXPECT_THAT(read.text, HasSubstr("  out: release\n"));  // the folder may be moved
  EXPECT_THAT(read.text, Not(HasSubstr("weight_decay")));
}

TEST(RecipeText, AFullyTrainedModelHasNoRank) {
  Recipe recipe = LoadRecipe(Source() / "recipes/demo.yml");
  recipe.train.adapter = AdapterKind::kFull;
  const std::string text = RecipeText(recipe);
  EXPECT_THAT(text, Not(HasSubstr("alpha")));
  EXPECT_EQ(ParseRecipe(recipe.file, text).train.adapter, AdapterKind::kFull);
}

TEST(RecipeJson, HasEveryKeyWithItsType) {
  const auto json = RecipeJson(LoadRecipe(Source() / "recipes/demo.yml"));
  EXPECT_EQ(json.at("context").at("target"), 4096);
  EXPECT_EQ(json.at("train").at("rank"), 64);
  EXPECT_EQ(json.at("train").at("learning_rate"), 1e-3);
  EXPECT_EQ(json.at("train").at("recompute"), false);
  EXPECT_EQ(json.at("pose").at("variant"), "paper");
  EXPECT_EQ(json.at("eval").at("passkey").at("lengths").size(), 6u);
  EXPECT_TRUE(json.at("rope").at("factor").is_null());  // follows from the base
  EXPECT_EQ(json.at("release").at("sample").at("prompt"), "This function returns");
  EXPECT_FALSE(json.at("base").contains("new"));
}

TEST(RecipeKeys, AreThoseOfTheDocumentation) {
  const std::string page = ReadFile(Source() / "docs/recipes.md");
  const std::string begin = "<!-- longspan recipe keys --markdown -->\n\n", end = "\n<!-- end of keys -->";
  const std::size_t from = page.find(begin), to = page.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  EXPECT_EQ(page.substr(from + begin.size(), to - from - begin.size()), RecipeKeysMarkdown());
}

TEST(RecipeKeys, EachSaysWhatItIs) {
  const auto keys = RecipeKeysJson();
  EXPECT_GT(keys.size(), 70u);
  for (const auto& key : keys) {
    const std::string name = key.at("name"), help = key.at("help");
    EXPECT_GT(help.size(), 3u) << name;
    EXPECT_NE(help.back(), '.') << name;
    EXPECT_THAT(RecipeKeysText(), HasSubstr(help));
  }
}

}  // namespace
}  // namespace longspan
