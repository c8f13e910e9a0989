// The recipe of a whole job: what `longspan extend` reads. docs and the comments in recipes/demo.yml say what
// each key does; this says what is kept of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/pose.h"
#include "model/config.h"
#include "train/options.h"

namespace longspan {

struct DataRecipe {
  std::vector<std::string> inputs;    // files, folders or glob patterns, relative to the recipe
  std::vector<std::string> packages;  // Debian packages that install them: a hint for errors
  std::string text_field = "text";
  std::int64_t min_tokens = 0;
  std::int64_t max_tokens = 0;  // 0: no limit
  bool slice = false;           // longer documents are cut into windows instead of dropped
  double validation = 0.05;     // share of documents held out
};

struct ContextRecipe {
  std::int64_t target = 0;   // the window to reach
  std::int64_t window = 0;   // tokens a training example holds; 0: the base's native window
  std::int64_t release = 0;  // the window the released files declare; 0: the target
};

// RoPE while training; the released files may carry another theta, as the card's own run does.
struct RopeRecipe {
  RopeScaling::Kind scaling = RopeScaling::Kind::kNone;
  std::optional<double> factor;         // absent: target / native window
  std::optional<double> theta;          // absent: the base's
  std::optional<double> release_theta;  // absent: as trained
};

struct PoseRecipe {
  bool enabled = true;
  PoseOptions options;  // its target is context.target
};

struct TrainRecipe : TrainOptions {  // with `steps`, unless `epochs` is given
  std::optional<double> epochs;
  double retrieval_share = 0;  // of examples that hold a passkey
};

struct PasskeyRecipe {
  std::vector<std::int64_t> lengths;
  std::int64_t depths = 5;  // places of the key, evenly from the start of the prompt to its end
  std::int64_t trials = 10;
  std::uint64_t seed = 1;
};

struct EvalRecipe {
  std::vector<std::string> inputs;  // texts to measure on; none: the documents held out from data.inputs
  std::vector<std::int64_t> contexts;
  std::int64_t stride = 256;
  std::int64_t max_tokens = 65'536;
  PasskeyRecipe passkey;
};

struct SampleRecipe {
  std::string prompt;
  std::int64_t tokens = 120;
  double temperature = 0.7;
  double repeat_penalty = 1.0;  // 1: none
  std::uint64_t seed = 1;
};

struct ReleaseRecipe {
  std::string name;
  std::string license;                // an identifier that model hubs know, such as apache-2.0
  std::vector<std::string> language;  // ISO 639-1
  std::vector<std::string> tags;      // besides those that follow from the job
  std::filesystem::path out;          // resolved against the recipe's folder
  double power_watts = 0;
  std::string power_source = "an assumption";
  double grid_g_per_kwh = 0;
  std::string grid_source = "an assumption";
  SampleRecipe sample;
};

struct Recipe {
  std::filesystem::path file;
  std::string text;            // of the file, for the card
  std::filesystem::path base;  // resolved against the recipe's folder
  std::string base_id;         // what the card names as base_model; default: the base's file name
  DataRecipe data;
  ContextRecipe context;
  RopeRecipe rope;
  PoseRecipe pose;
  TrainRecipe train;
  std::vector<std::string> quantize;  // mixes: F16, Q8_0, Q4_K_M, ...
  EvalRecipe eval;
  ReleaseRecipe release;
};

// Error(kInvalidFile) naming file, line and key for what is unknown, missing, of the wrong type or out of
// range; files that the recipe names are not looked at.
Recipe LoadRecipe(const std::filesystem::path& path);

// The files and folders behind `inputs` (data's or eval's), patterns expanded, links followed, each once,
// sorted. Error(kIo) for an entry that names nothing, with the packages to install.
std::vector<std::filesystem::path> ResolveInputs(const Recipe& recipe,
                                                 const std::vector<std::string>& inputs);

}  // namespace longspan
