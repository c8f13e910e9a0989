// A job as the command line names it: by a recipe, or by a model and documents. For `extend` and `plan`.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plan/choose.h"
#include "release/recipe/recipe.h"

namespace longspan {

struct JobOptions {
  std::vector<std::string> what;  // RECIPE, or MODEL and DOCUMENTS
  std::int64_t target = 0, steps = 0;
  std::string out;
  std::vector<std::string> types;
  std::string isa = "auto";

  void AddTo(CLI::App& command);

  // Whether a recipe has to be chosen. Error(kBadOption) for a mixture of the two forms.
  bool WithoutRecipe() const;
  ChoiceRequest Request() const;
  // The folder's own recipe from an earlier run with the same arguments; nothing where there is none.
  std::optional<Recipe> EarlierRecipe() const;
};

}  // namespace longspan
