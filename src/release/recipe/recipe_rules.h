// The rules between a recipe's keys.
#pragma once

#include <string>
#include <vector>

#include "release/recipe/recipe.h"

namespace longspan {

// Error(kInvalidFile), or Error(kBadOption) for a recipe from no file, for keys that contradict each other or
// name something that does not exist: one line with file, line, key and what to write. Looks at no other
// file.
void CheckRules(const Recipe& recipe, RecipeUse use);

// Keys and sections that the file gives and `use` does not need, such as `release` for training alone.
std::vector<std::string> UnusedKeys(const Recipe& recipe, RecipeUse use);

}  // namespace longspan
