// Measures a job's files for its card, the way the recipe asks.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "eval/kld.h"
#include "eval/window.h"
#include "formats/rope_override.h"
#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

// Facts about the model to stretch. `id` is what the card calls it.
BaseFacts FactsOfBase(const std::filesystem::path& file, const std::string& id, const std::string& isa);

// Whether the base is measured a second time, with the released RoPE: where that is another than its own.
bool HasControl(const Recipe& recipe);

// The contexts in which texts of data.retention are measured: the base's window and the target. The base
// itself is measured in the first alone.
std::vector<std::int64_t> RetentionContexts(const Recipe& recipe, std::int64_t base_window);

// What the card calls entry `at` of data.retention: its last part, or all of it where others end alike.
std::string RetentionName(const std::vector<std::string>& entries, std::size_t at);

// A text that the base must go on knowing, and its name.
struct RetentionDocuments {
  std::string name;
  std::vector<TokenDocument> documents;
};

// What an evaluation reads. Each text of `retention` is read in windows of `retention_contexts`, and the
// tokens that one of `retention_reach` can score are scored in all of them.
struct EvalDocuments {
  std::vector<TokenDocument> documents;
  std::vector<RetentionDocuments> retention;
  std::vector<std::int64_t> retention_contexts;
  std::int64_t retention_reach = 0;
};

// Perplexity of `texts` by context, and passkeys by length and depth, with RoPE as `rope` says. The names of
// the model and of the text are left empty: the caller knows what the card calls them.
Evaluation Evaluate(const std::filesystem::path& file, const RopeOverride& rope, const EvalDocuments& texts,
                    const EvalRecipe& recipe, const std::string& isa, Progress& progress);

// How far `file`, which is `reference` quantised to `type`, diverges from it on windows of `documents`: one
// row, and the tokens that it is over.
QuantizationFacts CompareQuantized(const std::filesystem::path& file, const std::string& type,
                                   const std::filesystem::path& reference,
                                   std::span<const TokenDocument> documents, const KldOptions& options,
                                   const std::string& isa, Progress& progress);

}  // namespace longspan
