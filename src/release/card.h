// The model card: the README.md of a release folder, as people publish models.
#pragma once

#include <filesystem>
#include <string>

#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

// The card's text. Settings come from the recipe, every result from the measurements; a part that was not
// measured is left out rather than filled.
std::string ModelCard(const Recipe& recipe, const Measurements& m);

// The README.md of the release's folder `huggingface`, which can be published on its own.
std::string HuggingFaceCard(const Recipe& recipe, const BaseFacts& base);

// Writes `folder`/README.md and the plots that it shows, `folder`/plots/{loss,perplexity,passkey}.svg.
void WriteCard(const std::filesystem::path& folder, const Recipe& recipe, const Measurements& m);

}  // namespace longspan
