#include "release/recipe/recipe_check.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>

#include "base/error.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "data/passkey.h"
#include "data/retrieval.h"
#include "data/shard_set.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "model/weight_id.h"
#include "quantize/mix.h"
#include "quantize/quantize.h"
#include "release/job_paths.h"
#include "release/stretch.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// What only the base tells: a GGUF file, or a Hugging Face folder that is to become one.
struct Base {
  LlamaConfig config;
  Tensor rope_factors;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;  // once merged
  std::unique_ptr<Tokenizer> tokenizer;
};

Base OpenBase(const fs::path& path) {
  Base base;
  if (fs::is_directory(path)) {
    HfModel model = ReadHfModel(path);
    base.config = model.config;
    if (model.config.rope_scaling.kind == RopeScaling::Kind::kLlama3)
      base.rope_factors = Llama3RopeFactors(model.config);
    base.metadata = std::move(model.metadata);
    base.tensors = std::move(model.tensors);
  } else {
    const ModelFile model = LoadModel(path);
    base.config = model.config;
    base.rope_factors = model.weights.rope_factors;
    base.metadata = model.file->metadata();
    base.tensors = TensorInfos(*model.file);
  }
  base.tokenizer = Tokenizer::Make(ReadVocabulary(base.metadata));
  for (TensorInfo& tensor : base.tensors) tensor.type = Type::kF16;
  return base;
}

// Runs `body`, which reads what `key` names; an error then says which key that is.
template <class F>
auto Reading(const Recipe& recipe, std::string_view key, F&& body) {
  try {
    return body();
  } catch (const Error& error) {
    recipe.places.FailAt(key, error);
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
}

void CheckRank(const Recipe& recipe, const LlamaConfig& base) {
  const TrainRecipe& train = recipe.train;
  if (train.adapter == AdapterKind::kFull) return;
  std::int64_t highest = 0;
  for (const PartTraits& part : AllParts()) {
    if (std::ranges::find(train.targets, part.name) != train.targets.end())
      highest = std::max(highest, std::min(part.rows(base), part.cols(base)));
  }
  if (train.rank <= highest) return;
  recipe.places.FailAt("train.rank",
                       fmt::format("{} is more than any matrix of train.targets has, {}; write {} or less",
                                   train.rank, highest, highest));
}

// What makes an example.
void CheckExamples(const Recipe& recipe, const LlamaConfig& base, const Tokenizer& tokenizer) {
  const KeyPlaces& at = recipe.places;
  const std::int64_t window = recipe.context.window > 0 ? recipe.context.window : base.context;
  if (recipe.train.batch_size > std::numeric_limits<std::int32_t>::max() / window) {
    at.FailAt("train.batch_size", fmt::format("{} examples of {} tokens are too many for a pass; write less, "
                                              "and more in train.gradient_accumulation",
                                              recipe.train.batch_size, window));
  }
  if (recipe.pose.enabled && recipe.pose.options.chunks > window)
    at.FailAt("pose.chunks", fmt::format("{} chunks in an example of {} tokens; write fewer",
                                         recipe.pose.options.chunks, window));
  if (recipe.train.retrieval_share == 0) return;
  if (const std::int64_t least = Retrieval(EncoderOf(tokenizer)).MinLength(); window < least) {
    at.FailAt("train.retrieval_share",
              fmt::format("such an example needs {} tokens with this vocabulary, and examples have {}; write "
                          "0, or {} or more in context.window",
                          least, window, least));
  }
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

void CheckTypes(const Recipe& recipe, const std::vector<TensorInfo>& tensors) {
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

// The model that comes out, as far as it is known before: the scaling of RoPE, and what the release asks for.
void CheckResult(const Recipe& recipe, const Base& base) {
  LlamaConfig config = base.config;
  Weights weights;
  weights.rope_factors = base.rope_factors;
  try {
    Apply(ReleasedRope(StretchOf(recipe, recipe.base, config.context, {})), config, weights);
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
  static_cast<void>(CheckedPaths(recipe));
  if (fs::is_directory(recipe.base) && fs::exists(recipe.base / "adapter_config.json")) {
    recipe.places.FailAt("base.model",
                         fmt::format("{} is an adapter; write the name of its base, and fold it in with "
                                     "longspan merge where it is to be stretched, too",
                                     recipe.base.string()));
  }
  CheckBase(recipe, recipe.base);
}

// The model that training begins with.
Base OpenStart(const Recipe& recipe) {
  if (!recipe.new_model) {
    if (fs::is_directory(recipe.base)) {
      recipe.places.FailAt("base.model",
                           fmt::format("{} is a folder; make a GGUF file of it with longspan convert, "
                                       "and write its name",
                                       recipe.base.string()));
    }
    return Reading(recipe, "base.model", [&] { return OpenBase(recipe.base); });
  }
  const Vocabulary vocabulary = Reading(recipe, "base.new.vocabulary", [&] {
    return ReadVocabulary(GgufFile::Open(recipe.new_model->vocabulary)->metadata());
  });
  Base start{recipe.new_model->config, {}, {}, {}, Tokenizer::Make(vocabulary)};
  start.config.vocab_size = std::ssize(vocabulary.tokens);
  start.config.Validate(recipe.places.Where("base.new"));
  return start;
}

void CheckTrain(const Recipe& recipe) {
  const std::string_view key = recipe.new_model ? "base.new.vocabulary" : "base.model";
  const fs::path start =
      ResolvedInput(recipe, key, recipe.new_model ? recipe.new_model->vocabulary : recipe.base);
  const fs::path shards = ResolvedInput(recipe, "data.shards", recipe.data.shards);
  CheckOutside(recipe, "train.out", recipe.train.out, std::array{start, shards});
  const Base base = OpenStart(recipe);
  CheckRank(recipe, base.config);
  CheckExamples(recipe, base.config, *base.tokenizer);
  Reading(recipe, "data.shards", [&] { CheckFits(ShardSet::Open(shards), EncoderOf(*base.tokenizer)); });
}

}  // namespace

void CheckBase(const Recipe& recipe, const fs::path& path) {
  const Base base = Reading(recipe, "base.model", [&] { return OpenBase(path); });
  CheckWindows(recipe, base.config);
  CheckRank(recipe, base.config);
  CheckExamples(recipe, base.config, *base.tokenizer);
  CheckPrompts(recipe, *base.tokenizer);
  CheckTypes(recipe, base.tensors);
  CheckResult(recipe, base);
}

void CheckRecipe(const Recipe& recipe, RecipeUse use) {
  use == kForTrain ? CheckTrain(recipe) : CheckExtend(recipe);
}

}  // namespace longspan
