#include "release/recipe/idle_keys.h"

#include <gmock/gmock.h>

#include "base/testing/expect_error.h"
#include "release/recipe/recipe_text.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::Not;

Recipe Parse(const std::string& sections, const std::string& train = "", const std::string& release = "") {
  return ParseRecipe("r.yml",
                     "base: {model: b}\ndata: {inputs: t}\ncontext: {target: 64}\n"
                     "train: {learning_rate: 1, steps: 1" +
                         train +
                         "}\n"
                         "release: {name: n, license: mit" +
                         release + "}\n" + sections + "\n");
}

// Each is refused with its line, and would be accepted beside another value.
TEST(IdleKeys, AreRefusedWhereTheyAreGiven) {
  struct Case {
    std::string sections, train, release, key, beside;
  };
  for (const Case& c : {
           Case{"rope: {factor: 2}", "", "", "6: rope.factor", "with rope.scaling: none"},
           Case{"rope: {original_context: 8}", "", "", "6: rope.original_context", "with rope.scaling: none"},
           Case{"rope: {scaling: linear, original_context: 8}", "", "", "6: rope.original_context",
                "with rope.scaling: linear"},
           Case{"pose: {enabled: false, chunks: 2}", "", "", "6: pose.chunks", "with pose.enabled: false"},
           Case{"pose: {enabled: false, variant: paper}", "", "", "6: pose.variant",
                "with pose.enabled: false"},
           Case{"pose: {variant: randpos, lengths: equal}", "", "", "6: pose.lengths",
                "with pose.variant: randpos"},
           Case{"", ", adapter: full, rank: 8", "", "4: train.rank", "where all weights are trained"},
           Case{"", ", type: F16", "", "4: train.type", "where an adapter is trained"},
           Case{"", ", schedule: constant, min_learning_rate_ratio: 0.5", "",
                "4: train.min_learning_rate_ratio", "with train.schedule: constant"},
           Case{"", ", eval_examples: 0, eval_every: 9", "", "4: train.eval_every",
                "with train.eval_examples: 0"},
           Case{"eval: {by_position: {documents: 0, max_tokens: 64}}", "", "",
                "6: eval.by_position.max_tokens", "with eval.by_position.documents: 0"},
           Case{"", "", ", power_source: a guess", "5: release.power_source", "without release.power_watts"},
           Case{"", "", ", power_watts: 9, grid_source: a guess", "5: release.grid_source",
                "without release.grid_g_per_kwh"},
           Case{"", "", ", sample: {seed: 2}", "5: release.sample.seed", "without release.sample.prompt"},
           Case{"", "", ", sample: {prompt: Once, temperature: 0, seed: 2}", "5: release.sample.seed",
                "with release.sample.temperature: 0"},
       }) {
    EXPECT_EQ(ErrorOf([&] { Parse(c.sections, c.train, c.release); }),
              "r.yml:" + c.key + ": has no meaning " + c.beside + "; change that, or leave it out");
  }
}

TEST(IdleKeys, HaveAMeaningBesideOtherValues) {
  EXPECT_NO_THROW(
      Parse("rope: {scaling: yarn, factor: 8, original_context: 8}\n"
            "pose: {variant: axolotl, chunks: 2, lengths: random}\n"
            "eval: {by_position: {documents: 2, max_tokens: 64}}",
            ", rank: 8, min_learning_rate_ratio: 0.5, eval_every: 9",
            ", power_watts: 9, power_source: a meter, grid_g_per_kwh: 400, grid_source: a report, "
            "sample: {prompt: Once, seed: 2}"));
  EXPECT_NO_THROW(Parse("pose: {enabled: false}", ", adapter: full, type: F16"));
}

// A program's recipe holds values for all keys; written, it reads back.
TEST(IdleKeys, AreNotWritten) {
  Recipe recipe = Parse("");
  recipe.pose.enabled = false;
  recipe.pose.options.chunks = 5;
  recipe.eval.by_position = {.documents = 0, .max_tokens = 32};
  const std::string text = RecipeText(recipe);
  EXPECT_THAT(text, Not(HasSubstr("chunks")));
  EXPECT_THAT(text, HasSubstr("documents: 0"));
  EXPECT_EQ(RecipeText(ParseRecipe("r.yml", text)), text);
}

}  // namespace
}  // namespace longspan
