// Measures a job's files for its card, the way the recipe asks.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/progress.h"
#include "eval/kld.h"
#include "eval/window.h"
#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

// Facts about the model to stretch. `id` is what the card calls it.
BaseFacts FactsOfBase(const std::filesystem::path& file, const std::string& id, const std::string& isa);

// Perplexity of `documents` by context, and passkeys by length and depth. The names of the model and of the
// text are left empty: the caller knows what the card calls them.
Evaluation Evaluate(const std::filesystem::path& file, std::span<const TokenDocument> documents,
                    const EvalRecipe& recipe, const std::string& isa, Progress& progress);

// How far `file`, which is `reference` quantised to `type`, diverges from it on windows of `documents`: one
// row, and the tokens that it is over.
QuantizationFacts CompareQuantized(const std::filesystem::path& file, const std::string& type,
                                   const std::filesystem::path& reference,
                                   std::span<const TokenDocument> documents, const KldOptions& options,
                                   const std::string& isa, Progress& progress);

}  // namespace longspan
