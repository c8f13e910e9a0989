// The documents that a job measures on: the recipe's own texts, or those held out from training. They are
// tokenised once, into shards, and read from there by every measurement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "data/corpus.h"
#include "data/encoder.h"
#include "eval/window.h"
#include "release/measurements.h"
#include "release/recipe/recipe.h"

namespace longspan {

// Tokenises `inputs`, those of `key`, into shards in the folder `out`; `work` as in PrepareOptions.
// Error(kBadOption) where there is no text in them.
EvalTextFacts PrepareEvalTexts(std::string_view key, const std::vector<std::filesystem::path>& inputs,
                               const CorpusOptions& options, const TextEncoder& encoder,
                               const std::filesystem::path& out, const std::filesystem::path& work,
                               Progress& progress);

// Which documents of a shard folder to measure on.
enum class EvalTexts { kAll, kHeldOut };

std::vector<TokenDocument> ReadEvalTexts(const std::filesystem::path& shards, EvalTexts which);
EvalTextFacts MeasureEvalTexts(const std::filesystem::path& shards, EvalTexts which);

// Error with the recipe's file, line and key where entry `at` of data.retention, whose longest document has
// `longest` tokens, does not fill the target.
void CheckRetentionText(const Recipe& recipe, std::size_t at, std::int64_t longest);

// The measurements of `recipe` on documents of which the longest has `longest` tokens: loss by position reads
// up to the target, or as far as they go where the recipe does not insist. Error with the recipe's file, line
// and key where they do not reach as far as the recipe wants to measure.
EvalRecipe EvalWithin(const Recipe& recipe, std::int64_t longest);

}  // namespace longspan
