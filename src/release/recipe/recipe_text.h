// Recipes and their keys as text: YAML to be read again, JSON, and documentation.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "release/recipe/recipe.h"

namespace longspan {

// YAML that LoadRecipe reads as the same recipe from `recipe.file`. Holds what differs from the defaults, and
// what has a comment; comments go by the name of a key ("train.rank") or section ("train"), and "" is the one
// on top, which may have several lines.
std::string RecipeText(const Recipe& recipe, const YamlComments& comments = {});

// The same as the file `recipe.file`.
void WriteRecipe(const Recipe& recipe, const YamlComments& comments = {});

// Every key with its value, defaults filled in: {"train": {"rank": 64, ...}, ...}. Paths are as the program
// sees them.
nlohmann::ordered_json RecipeJson(const Recipe& recipe);

// Every key there is, with type, unit, default and help.
std::string RecipeKeysText();
std::string RecipeKeysMarkdown();  // docs/recipes.md holds it
nlohmann::ordered_json RecipeKeysJson();

}  // namespace longspan
