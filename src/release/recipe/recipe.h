// The recipe of a job, or of a part of one: what `longspan extend` and `longspan train` read. Its keys are
// declared in release/recipe/recipe_keys.h; docs/recipes.md lists them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/schema.h"
#include "data/pose.h"
#include "model/config.h"
#include "train/options.h"

namespace longspan {

// A model that training starts from nothing.
struct NewModelRecipe {
  enum class Start { kNormal, kInduction };  // random weights, or with a head that looks things up

  std::filesystem::path vocabulary;  // GGUF file with its tokenizer
  LlamaConfig config;                // its dimensions; the size of the vocabulary is the file's
  Start start = Start::kNormal;
};
std::string_view Name(NewModelRecipe::Start start);  // "normal", "induction"

struct DataRecipe {
  std::vector<std::string> inputs;    // files, folders or glob patterns, relative to the recipe
  std::filesystem::path shards;       // what `longspan prepare` made of them, for `longspan train`
  std::vector<std::string> packages;  // Debian packages that install them: a hint for errors
  std::string text_field = "text";
  std::int64_t min_tokens = 0;
  std::int64_t max_tokens = 0;         // 0: no limit
  bool slice = false;                  // longer documents are cut into windows instead of dropped
  bool near_duplicates = false;        // leave out documents that are nearly those before
  double validation = 0.05;            // share of documents held out
  std::vector<std::string> retention;  // as inputs; each is a text of a kind that the base must go on knowing
};

struct ContextRecipe {
  std::int64_t target = 0;   // the window to reach; 0: none, for training alone
  std::int64_t window = 0;   // tokens a training example holds; 0: the base's native window
  std::int64_t release = 0;  // the window the released files declare; 0: the target
};

// RoPE while training. The released files may declare another theta.
struct RopeRecipe {
  RopeScaling::Kind scaling = RopeScaling::Kind::kNone;
  std::optional<double> factor;         // absent: target / native window
  std::optional<double> theta;          // absent: the base's
  std::int64_t original_context = 0;    // the window before scaling; 0: the base's
  std::optional<double> release_theta;  // absent: as trained
};

struct PoseRecipe {
  bool enabled = true;
  PoseOptions options;  // its target is context.target
};

struct TrainRecipe : TrainOptions {  // with `steps`, unless `epochs` is given
  std::optional<double> epochs;
  bool pack = false;           // several documents in an example
  double retrieval_share = 0;  // share of examples that teach retrieval: a hidden passkey, or an echo
  double echo_share = 0;       // share of these that are echoes
  std::string type;  // type that a fully trained model is written in; empty: the base's float type, or F16
  std::filesystem::path out;  // `longspan train`'s folder

  // How many steps to train, with so many examples in an epoch.
  std::int64_t Steps(std::int64_t examples_per_epoch) const;
};

struct PasskeyRecipe {
  std::vector<std::int64_t> lengths;
  std::int64_t depths = 3;  // places of the key, evenly from the start of the prompt to its end
  std::int64_t trials = 1;
  std::uint64_t seed = 1;
};

// How far each type is from the merged model.
struct KldRecipe {
  std::int64_t context = 0;
  std::int64_t max_tokens = 8'192;
};

// Loss by position, from one pass over each long document.
struct ByPositionRecipe {
  std::int64_t documents = 1;   // 0: not measured
  std::int64_t max_tokens = 0;  // tokens read of each
};

// A member that is 0 or empty has a default that follows from the target, which LoadRecipe fills in.
struct EvalRecipe {
  std::vector<std::string> inputs;  // texts to measure on; none: the documents held out from data.inputs
  std::vector<std::int64_t> contexts;
  std::int64_t stride = 0;
  std::int64_t max_tokens = 16'384;
  PasskeyRecipe passkey;
  KldRecipe kld;
  ByPositionRecipe by_position;
  bool control = true;  // measure the base with the released RoPE and no training, too

  // Tokens that a document must have for perplexity and KL divergence.
  std::int64_t LongestWindow() const;
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
  bool huggingface = false;           // the release holds the merged model as a Hugging Face folder, too
  double power_watts = 0;
  std::string power_source = "an assumption";
  double grid_g_per_kwh = 0;
  std::string grid_source = "an assumption";
  SampleRecipe sample;
};

struct Recipe {
  std::filesystem::path file;
  std::string text;            // of the file, for the card
  KeyPlaces places;            // of the keys that the file gave
  std::filesystem::path base;  // a GGUF file or a Hugging Face folder, resolved against the recipe's folder
  std::string base_id;         // what the card names as base_model; default: the base's file name
  std::optional<NewModelRecipe> new_model;  // instead of a base, for `longspan train`
  DataRecipe data;
  ContextRecipe context;
  RopeRecipe rope;
  PoseRecipe pose;
  TrainRecipe train;
  std::vector<std::string> quantize = {"F16"};  // mixes: F16, Q8_0, Q4_K_M, ...
  EvalRecipe eval;
  ReleaseRecipe release;
};

// Who reads a recipe, as bits for Key::required. `train` needs no data.inputs and no release, `extend` no
// shards.
enum RecipeUse : unsigned { kForExtend = 1, kForTrain = 2 };

// Reads a recipe, fills in what follows from other keys, and checks what the text alone can tell. Files that
// it names are not looked at (release/recipe/recipe_check.h does). Error(kInvalidFile) naming file, line and
// key.
Recipe LoadRecipe(const std::filesystem::path& path, RecipeUse use = kForExtend);
// The same for text that is from `path`.
Recipe ParseRecipe(const std::filesystem::path& path, std::string text, RecipeUse use = kForExtend);

// What LoadRecipe does after reading, for a recipe that a program made up.
void CompleteRecipe(Recipe& recipe, RecipeUse use = kForExtend);

// Everything besides files that `stage` depends on, as text: the keys that change its results, with values.
std::string Fingerprint(const Recipe& recipe, Stage stage);

}  // namespace longspan
