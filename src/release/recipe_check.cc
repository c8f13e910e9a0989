#include "release/recipe_check.h"

#include <algorithm>

#include "base/error.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "data/passkey.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "quantize/mix.h"
#include "quantize/quantize.h"
#include "release/stretch.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

void CheckThere(const Recipe& recipe, std::string_view key, const fs::path& path, bool folder) {
  std::error_code error;
  const bool there = folder ? fs::is_directory(path, error) : fs::exists(path, error);
  if (!there)
    recipe.places.FailAt(key, fmt::format("no {} at {}", folder ? "folder" : "file", path.string()));
}

// Whether `path` is `folder` or lies in it, links followed as far as they lead anywhere.
bool LiesIn(const fs::path& path, const fs::path& folder) {
  const fs::path a = fs::weakly_canonical(path), b = fs::weakly_canonical(folder);
  return std::ranges::mismatch(b, a).in1 == b.end();
}

// An output must be a folder, or nothing yet, and hold none of the inputs.
void CheckOutput(const Recipe& recipe, std::string_view key, const fs::path& out,
                 const std::vector<fs::path>& inputs) {
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_directory(out, error))
    recipe.places.FailAt(key, fmt::format("{} is a file; write the name of a folder", out.string()));
  for (const fs::path& input : inputs) {
    if (LiesIn(input, out)) {
      recipe.places.FailAt(
          key, fmt::format("{} holds an input, {}; write another folder", out.string(), input.string()));
    }
  }
}

void CheckWindows(const Recipe& recipe, const LlamaConfig& base) {
  const KeyPlaces& at = recipe.places;
  const std::int64_t target = recipe.context.target;
  if (target <= base.context) {
    at.FailAt("context.target",
              fmt::format("{} is no more than the base's own window, {}; write more", target, base.context));
  }
  if (recipe.rope.factor) {
    const std::int64_t from = recipe.rope.original_context > 0 ? recipe.rope.original_context : base.context;
    const double reached = *recipe.rope.factor * static_cast<double>(from);
    if (reached < static_cast<double>(target)) {
      at.FailAt("rope.factor",
                fmt::format("{:g} times {} tokens is less than the target, {}; write {:g}, or leave it out",
                            *recipe.rope.factor, from, target,
                            static_cast<double>(target) / static_cast<double>(from)));
    }
  }
  const std::int64_t window = recipe.context.window > 0 ? recipe.context.window : base.context;
  if (recipe.pose.enabled && recipe.pose.options.chunks > window)
    at.FailAt("pose.chunks", fmt::format("{} chunks in an example of {} tokens; write fewer",
                                         recipe.pose.options.chunks, window));
}

void CheckPrompts(const Recipe& recipe, const Tokenizer& tokenizer) {
  const std::int64_t least = Passkey(EncoderOf(tokenizer)).MinLength();
  const std::int64_t shortest = recipe.eval.passkey.lengths.front();
  if (shortest < least) {
    recipe.places.FailAt(
        "eval.passkey.lengths",
        fmt::format("a prompt needs {} tokens with this vocabulary, found {}; write {} or more", least,
                    shortest, least));
  }
}

void CheckTypes(const Recipe& recipe, std::vector<TensorInfo> tensors) {
  for (TensorInfo& tensor : tensors) tensor.type = Type::kF16;  // once merged
  for (const std::string& type : recipe.quantize) {
    const Mix& mix = FindMix(type);
    for (const TypeChoice& choice : ChooseTypes(mix, tensors)) {
      if (!NeedsImportance(mix, choice)) continue;
      recipe.places.FailAt(
          "quantize.types",
          fmt::format("{0} needs an importance matrix, which extend does not make; write Q2_K or a "
                      "larger type, and make {0} with longspan imatrix and quantize",
                      mix.name));
    }
  }
}

// A base, as a GGUF file or as the folder that one is made of.
struct Base {
  LlamaConfig config;
  Tensor rope_factors;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;
};

Base OpenBase(const fs::path& path) {
  if (fs::is_directory(path)) {
    HfModel model = ReadHfModel(path);
    const bool scaled = model.config.rope_scaling.kind == RopeScaling::Kind::kLlama3;
    return {model.config, scaled ? Llama3RopeFactors(model.config) : Tensor(), std::move(model.metadata),
            std::move(model.tensors)};
  }
  const ModelFile model = LoadModel(path);
  return {model.config, model.weights.rope_factors, model.file->metadata(), TensorInfos(*model.file)};
}

// The model that comes out, as far as it is known before: the scaling of RoPE, and what the release asks for.
void CheckResult(const Recipe& recipe, const Base& base) {
  LlamaConfig config = base.config;
  Weights weights;
  weights.rope_factors = base.rope_factors;
  try {
    ApplyReleasedRope(StretchOf(recipe, recipe.base, config.context, {}), config, weights);
  } catch (const Error& error) {
    recipe.places.FailAt("rope", error.what());
  }
  if (!recipe.release.huggingface) return;
  try {
    CheckGgufToHf(config, weights.rope_factors, base.metadata);
  } catch (const Error& error) {
    recipe.places.FailAt("release.huggingface", fmt::format("{}; write false", error.what()));
  }
}

void CheckExtend(const Recipe& recipe) {
  CheckThere(recipe, "base.model", recipe.base, false);
  std::vector<fs::path> inputs = ResolveInputs(recipe, recipe.data.inputs, "data.inputs");
  for (const fs::path& path : ResolveInputs(recipe, recipe.eval.inputs, "eval.inputs"))
    inputs.push_back(path);
  inputs.push_back(recipe.base);
  CheckOutput(recipe, "release.out", recipe.release.out, inputs);
  CheckOutput(recipe, "release.out", WorkFolder(recipe), inputs);
  if (fs::is_directory(recipe.base) && fs::exists(recipe.base / "adapter_config.json")) {
    recipe.places.FailAt("base.model",
                         fmt::format("{} is an adapter; write the name of its base, and fold it in with "
                                     "longspan merge where it is to be stretched, too",
                                     recipe.base.string()));
  }
  CheckBase(recipe, recipe.base);
}

void CheckTrain(const Recipe& recipe) {
  const fs::path& start = recipe.new_model ? recipe.new_model->vocabulary : recipe.base;
  CheckThere(recipe, recipe.new_model ? "base.new.vocabulary" : "base.model", start, false);
  if (fs::is_directory(start)) {
    recipe.places.FailAt("base.model",
                         fmt::format("{} is a folder; make a GGUF file of it with longspan convert, "
                                     "and write its name",
                                     start.string()));
  }
  CheckThere(recipe, "data.shards", recipe.data.shards, true);
  CheckOutput(recipe, "train.out", recipe.train.out, {start, recipe.data.shards});
}

}  // namespace

void CheckBase(const Recipe& recipe, const fs::path& path) {
  const Base base = OpenBase(path);
  CheckWindows(recipe, base.config);
  CheckPrompts(recipe, *Tokenizer::Make(ReadVocabulary(base.metadata)));
  CheckTypes(recipe, base.tensors);
  CheckResult(recipe, base);
}

void CheckRecipe(const Recipe& recipe, RecipeUse use) {
  use == kForTrain ? CheckTrain(recipe) : CheckExtend(recipe);
}

}  // namespace longspan
