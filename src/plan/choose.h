// Chooses a recipe for a model and documents, so that nobody has to write one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/schema.h"
#include "release/recipe/recipe.h"

namespace longspan {

struct ChoiceRequest {
  std::filesystem::path model;          // GGUF file or Hugging Face folder
  std::vector<std::string> documents;   // files, folders or patterns
  std::int64_t target = 0;              // the window to reach, tokens
  std::filesystem::path folder;         // where the recipe and all results go
  std::int64_t steps = 0;               // 0: chosen
  std::vector<std::string> types = {};  // empty: chosen
};

struct Choice {
  Recipe recipe;          // complete and checked; its file is folder/recipe.yml, which is not written
  YamlComments comments;  // why, for each key that was chosen
  std::vector<std::string> reasons;  // the same as lines for the terminal
};

// Looks at the model, reads documents for a few seconds and measures this machine. Error(kBadOption) with the
// next step where nothing sensible can be chosen: fewer than two documents of 64 tokens, a target within the
// model's window.
Choice ChooseRecipe(const ChoiceRequest& request, std::string_view isa, Progress& progress = NoProgress());

// The recipe's file in a folder.
inline constexpr const char* kChosenRecipe = "recipe.yml";

// Error(kBadOption) where `recipe`, an earlier choice in request.folder, was made for another request.
void CheckSameRequest(const Recipe& recipe, const ChoiceRequest& request);

}  // namespace longspan
