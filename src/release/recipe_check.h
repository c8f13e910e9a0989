// Checks of a recipe that need a look at the files it names, before any work.
#pragma once

#include "release/recipe.h"

namespace longspan {

// Checks all that can fail for the recipe's settings alone: that its files are there, that the output is none
// of them, and that windows, prompts and types fit the base. Takes as long as opening the base. Error with
// one line that names file, line, key and what to write, or the file of the base that is at fault.
void CheckRecipe(const Recipe& recipe, RecipeUse use = kForExtend);

// The part of it that needs the base, as a GGUF file or a Hugging Face folder.
void CheckBase(const Recipe& recipe, const std::filesystem::path& path);

}  // namespace longspan
