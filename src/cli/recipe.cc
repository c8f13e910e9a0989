// longspan recipe: the keys of a recipe, and whether one is right.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "release/recipe/recipe_check.h"
#include "release/recipe/recipe_rules.h"
#include "release/recipe/recipe_text.h"

namespace longspan {
namespace {

struct RecipeCheckOptions {
  std::string path;
  bool for_train = false;
  bool json = false;
};

void RunRecipeCheck(const RecipeCheckOptions& options) {
  const RecipeUse use = options.for_train ? kForTrain : kForExtend;
  const Recipe recipe = LoadRecipe(options.path, use);
  CheckRecipe(recipe, use);
  if (options.json) {
    fmt::print("{}\n", RecipeJson(recipe).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  const std::vector<std::string> unused = UnusedKeys(recipe, use);
  fmt::print("{}: every setting is right{}\n", options.path,
             unused.empty() ? "" : fmt::format("; not used: {}", fmt::join(unused, ", ")));
}

void AddRecipeKeys(CLI::App& recipe) {
  struct Options {
    bool markdown = false, json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = recipe.add_subcommand("keys", "List every key with its type, default and meaning");
  auto* markdown = command->add_flag("--markdown", options->markdown, "Print the tables of docs/recipes.md");
  command->add_flag("--json", options->json, "As JSON")->excludes(markdown);
  command->footer("Example:\n  longspan recipe keys | less");
  command->callback([options] {
    if (options->json) {
      fmt::print("{}\n", RecipeKeysJson().dump(2));
    } else {
      fmt::print("{}", options->markdown ? RecipeKeysMarkdown() : RecipeKeysText());
    }
  });
}

void AddRecipeCheck(CLI::App& recipe) {
  auto options = std::make_shared<RecipeCheckOptions>();
  CLI::App* command = recipe.add_subcommand("check", "Check every setting of a recipe, and run nothing");
  command->add_option("RECIPE", options->path, "YAML file")->required()->check(CLI::ExistingFile);
  command->add_flag("--train", options->for_train,
                    "Check for `longspan train` rather than `longspan extend`");
  command->add_flag("--json", options->json, "Print the recipe as JSON, with every default filled in");
  command->footer("Example:\n  longspan recipe check recipes/demo.yml");
  command->callback([options] { RunRecipeCheck(*options); });
}

}  // namespace

void AddRecipe(CLI::App& app) {
  CLI::App* command = app.add_subcommand("recipe", "The keys of a recipe, and whether one is right");
  command->require_subcommand(1);
  AddRecipeKeys(*command);
  AddRecipeCheck(*command);
}

}  // namespace longspan
