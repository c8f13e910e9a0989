// How the documents of a recipe are prepared.
#pragma once

#include "data/prepare.h"
#include "release/recipe/recipe.h"

namespace longspan {

PrepareOptions PreparationOf(const DataRecipe& data);

}  // namespace longspan
