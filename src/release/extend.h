// The whole job: stretch, merge, quantise, prove, and a release folder at the end.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/progress.h"
#include "release/measurements.h"
#include "release/recipe.h"

namespace longspan {

struct ExtendOptions {
  std::string version;  // of longspan, for the card
  std::string isa = "auto";
};

// Runs every stage of `recipe` that is not done yet, in this order:
//   prepare    documents -> token shards
//   train      an adapter (or all weights), with PoSE positions
//   merge      the adapter folded into the base
//   quantize   one GGUF file for each type
//   evaluate   perplexity and passkeys of base and result, perplexity and divergence of each quantised file
//   release    the card, its plots, the adapter, checksums
// Intermediate results are kept in `<out>.work`; the release folder is recipe.release.out.
Measurements Extend(const Recipe& recipe, const ExtendOptions& options, Progress& progress);

}  // namespace longspan
