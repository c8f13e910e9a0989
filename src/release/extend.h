// The whole job: stretch, merge, quantise, prove, and a release folder at the end.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/progress.h"
#include "release/measurements.h"
#include "release/output_folder.h"
#include "release/recipe/recipe.h"

namespace longspan {

struct ExtendOptions {
  std::string version;  // of longspan, for the card
  std::string isa = "auto";
  OutputPolicy outputs = {};
};

// Runs every stage of `recipe` that is not done yet, in this order:
//   convert    a base that is a Hugging Face folder becomes a GGUF file
//   base       facts about the model to stretch
//   prepare    documents -> token shards
//   eval-texts the documents to measure on, tokenised
//   train      an adapter (or all weights), with PoSE positions
//   merge      the adapter folded into the base
//   quantize   one GGUF file for each type
//   evaluate   perplexity and passkeys of base and result, perplexity and divergence of each quantised file
//   sample     a text that the result writes, for the card
//   huggingface the result as a Hugging Face folder, where the recipe asks for it
//   release    the card, its plots, the adapter, checksums
// Intermediate results are kept in `<out>.work` (release/stages.h); the release folder is recipe.release.out,
// and only what this job made is touched there (release/output_folder.h). Where all is done, no model is
// opened and no file of data is read.
Measurements Extend(const Recipe& recipe, const ExtendOptions& options, Progress& progress);

}  // namespace longspan
