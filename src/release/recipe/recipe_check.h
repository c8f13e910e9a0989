// Checks of a recipe that need a look at the files it names, before any work.
#pragma once

#include "release/recipe/recipe.h"

namespace longspan {

// Checks all that can fail for the recipe's settings alone: that its files are there and can be read, that
// the output is none of them, and that windows, prompts, ranks and types fit the base, a GGUF file or a
// Hugging Face folder. Takes as long as opening the base. Error with one line that names file, line, key and
// what to write.
void CheckRecipe(const Recipe& recipe, RecipeUse use = kForExtend);

// The part of it that needs the base, at `base`.
void CheckBase(const Recipe& recipe, const std::filesystem::path& base);

}  // namespace longspan
