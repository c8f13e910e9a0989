// Recipes: what `extend` and `train` read, and what the writer makes of a recipe that was accepted.
#include "fuzz/target.h"

#include <string>

#include "base/file.h"
#include "release/recipe/recipe_keys.h"
#include "release/recipe/recipe_text.h"

namespace longspan::fuzz {
namespace {

const std::filesystem::path kFile = "recipe.yml";

void ReadWriteRead(const std::string& text, RecipeUse use) {
  const Recipe recipe = ParseRecipe(kFile, text, use);
  const std::string written = RecipeText(recipe, {{"train.rank", "a comment"}});
  const Recipe again = ParseRecipe(kFile, written, use);
  if (ListKeys(again).keys != ListKeys(recipe).keys)
    Fail(ErrorKind::kInternal, "a recipe was written as another");
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
  Attempt([&] { ReadWriteRead(text, kForTrain); });
  ReadWriteRead(text, kForExtend);
}

void MakeSeeds(const std::filesystem::path& folder) {
  Recipe recipe;
  recipe.file = kFile;
  recipe.base = "base.gguf";
  recipe.data.inputs = {"a.txt", "b/*"};
  recipe.context.target = 4096;
  recipe.rope.scaling = RopeScaling::Kind::kYarn;
  recipe.train.learning_rate = 1e-3;
  recipe.train.steps = 10;
  recipe.release.name = "x";
  recipe.release.license = "mit";
  CompleteRecipe(recipe);
  WriteFile(folder / "extend", RecipeText(recipe));
  YamlComments all;
  for (const KeyValue& key : ListKeys(recipe).keys) all[key.name] = key.key.help;
  WriteFile(folder / "every-key", RecipeText(recipe, all));
  WriteFile(folder / "train",
            "base: {new: {vocabulary: v, dim: 8, layers: 1, heads: 1, hidden_dim: 8, context: 8}}\n"
            "data: {shards: s}\ntrain: {learning_rate: .1, epochs: 2, out: o, seed: 1}\n");
  WriteFile(folder / "old", "model: {base: b}\ndata: {shards: s, length: 8}\nout: o\n");
  WriteFile(folder / "aliases", "a: &a [x, 'y', \"z\\n\"]\nb: *a\n<<: {c: ~}\n? d\n: |\n  e\n--- # f\n...\n");
}

}  // namespace longspan::fuzz
