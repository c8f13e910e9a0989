// A text that a released model writes, for its card.
#pragma once

#include <filesystem>
#include <string>

#include "infer/sampler.h"
#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

SamplerOptions SamplerOf(const SampleRecipe& recipe);

// `name` is what the card calls the model.
SampleText WriteSample(const std::filesystem::path& model, const std::string& name,
                       const SampleRecipe& recipe, const std::string& isa);

}  // namespace longspan
