#include "release/recipe_rules.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/printable.h"
#include "quantize/mix.h"
#include "release/recipe_keys.h"
#include "tensor/tensor.h"

namespace longspan {
namespace {

// What may become part of a file's name.
bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(
             text, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

void CheckStart(const Recipe& recipe, RecipeUse use) {
  const KeyPlaces& at = recipe.places;
  if (use == kForExtend && recipe.new_model)
    at.FailAt("base.new", "extend stretches a model that is there; name it in base.model");
  if (recipe.base.empty() == !recipe.new_model)
    at.FailAt(recipe.base.empty() ? "base" : "base.new",
              "give either base.model (a file) or base.new (dimensions)");
  if (recipe.new_model && recipe.train.adapter != AdapterKind::kFull)
    at.FailAt("train.adapter", "a new model is trained whole; write full, or leave it out");
}

void CheckData(const Recipe& recipe, RecipeUse use) {
  const DataRecipe& data = recipe.data;
  const KeyPlaces& at = recipe.places;
  if (use == kForExtend && data.inputs.empty())
    at.FailAt("data.inputs", "expected at least one file, folder or pattern");
  if (data.max_tokens != 0 && data.max_tokens < data.min_tokens) {
    at.FailAt("data.max_tokens", fmt::format("{} is less than min_tokens, {}; write more, or 0 for no limit",
                                             data.max_tokens, data.min_tokens));
  }
  if (data.slice && data.max_tokens == 0)
    at.FailAt("data.slice",
              "documents are cut at data.max_tokens, which is 0; write the length of a piece there");
  if (data.text_field.empty()) at.FailAt("data.text_field", "expected the name of a field, such as text");
}

void CheckContext(const Recipe& recipe) {
  const ContextRecipe& context = recipe.context;
  const KeyPlaces& at = recipe.places;
  if (context.target != 0 && context.window > context.target) {
    at.FailAt("context.window", fmt::format("{} is more than the target, {}; write {} or less",
                                            context.window, context.target, context.target));
  }
  const bool scaled = recipe.rope.scaling != RopeScaling::Kind::kNone;
  if (recipe.rope.factor && !scaled)
    at.FailAt("rope.factor", "has no meaning with scaling: none; write scaling: yarn, or leave it out");
  if (recipe.rope.original_context != 0 && !scaled)
    at.FailAt("rope.original_context", "has no meaning with scaling: none; leave it out");
  if (scaled && context.target == 0 && !recipe.rope.factor)
    at.FailAt("rope.scaling", "needs context.target or rope.factor");
}

void CheckPose(const Recipe& recipe) {
  const KeyPlaces& at = recipe.places;
  if (!recipe.pose.enabled) return;
  if (recipe.context.target == 0)
    at.FailAt("pose", "needs context.target, the window that positions are drawn from");
  const PoseOptions& pose = recipe.pose.options;
  if (pose.skip_text && pose.variant == PoseOptions::Variant::kRandPos)
    at.FailAt("pose.skip_text", "randpos has no chunks between which text could skip; write false");
  if (recipe.context.window != 0 && pose.chunks > recipe.context.window) {
    at.FailAt("pose.chunks", fmt::format("{} chunks in an example of {} tokens; write fewer", pose.chunks,
                                         recipe.context.window));
  }
}

void CheckAdapter(const Recipe& recipe) {
  const TrainRecipe& train = recipe.train;
  const KeyPlaces& at = recipe.places;
  if (train.adapter == AdapterKind::kFull) {
    for (const std::string& key : AdapterKeys()) {
      if (at.Given(key)) at.FailAt(key, "belongs to an adapter, and all weights are trained; leave it out");
    }
  }
  std::set<std::string> seen;
  for (const std::string& target : train.targets) {
    if (std::ranges::find(kProjections, target) == kProjections.end()) {
      at.FailAt("train.targets",
                fmt::format("expected {}, found '{}'", fmt::join(kProjections, ", "), Printable(target)));
    }
    if (!seen.insert(target).second) at.FailAt("train.targets", fmt::format("'{}' is given twice", target));
  }
  if (train.targets.empty()) at.FailAt("train.targets", "expected at least one projection");
}

void CheckTraining(const Recipe& recipe) {
  const TrainRecipe& train = recipe.train;
  const KeyPlaces& at = recipe.places;
  if ((train.steps > 0) == train.epochs.has_value())
    at.FailAt("train.steps", "expected either steps or epochs");
  if (train.steps > 0 && train.warmup > train.steps) {
    at.FailAt("train.warmup",
              fmt::format("{} is more than the {} steps; write fewer, or 0", train.warmup, train.steps));
  }
  if (train.echo_share > 0 && train.retrieval_share == 0)
    at.FailAt("train.echo_share", "is a share of train.retrieval_share, which is 0");
  if (train.type.empty()) return;
  const std::optional<Type> type = TypeFromName(train.type);
  if (!type || !IsFloat(*type))
    at.FailAt("train.type", fmt::format("expected F32, F16 or BF16, found '{}'", Printable(train.type)));
}

void CheckTypes(const Recipe& recipe) {
  const KeyPlaces& at = recipe.places;
  if (recipe.quantize.empty()) at.FailAt("quantize.types", "expected at least one type, such as F16");
  std::set<std::string_view> seen;
  for (const std::string& type : recipe.quantize) {
    std::string_view name;
    try {
      name = FindMix(Printable(type, 40)).name;
    } catch (const Error& error) {
      at.FailAt("quantize.types", error.what());
    }
    if (!seen.insert(name).second) at.FailAt("quantize.types", fmt::format("{} is given twice", name));
  }
}

void CheckEval(const Recipe& recipe) {
  const EvalRecipe& eval = recipe.eval;
  const KeyPlaces& at = recipe.places;
  const std::int64_t shortest = eval.contexts.front();
  if (eval.stride >= shortest) {
    at.FailAt("eval.stride", fmt::format("{} is not less than the shortest context, {}; write {}",
                                         eval.stride, shortest, std::max<std::int64_t>(1, shortest / 2)));
  }
}

void CheckRelease(const Recipe& recipe) {
  const ReleaseRecipe& release = recipe.release;
  const KeyPlaces& at = recipe.places;
  if (!IsPlainName(release.name))
    at.FailAt("release.name", "expected letters, digits, '-', '_' and '.', because files carry it");
  if (release.license.empty()) at.FailAt("release.license", "expected a licence, such as apache-2.0");
}

}  // namespace

const std::set<std::string, std::less<>>& AdapterKeys() {
  static const std::set<std::string, std::less<>> keys{"train.rank", "train.alpha", "train.dropout",
                                                       "train.targets"};
  return keys;
}

void CheckRules(const Recipe& recipe, RecipeUse use) {
  CheckStart(recipe, use);
  CheckData(recipe, use);
  CheckContext(recipe);
  CheckPose(recipe);
  CheckAdapter(recipe);
  CheckTraining(recipe);
  CheckTypes(recipe);
  if (recipe.context.target > 0) CheckEval(recipe);
  if (use == kForExtend) CheckRelease(recipe);
}

std::vector<std::string> UnusedKeys(const Recipe& recipe, RecipeUse use) {
  std::vector<std::string> unused;
  const KeyLister listed = ListKeys(recipe);
  for (const SectionHelp& section : listed.sections) {
    if ((section.ignored & use) != 0 && recipe.places.Given(section.name)) unused.push_back(section.name);
  }
  for (const KeyValue& key : listed.keys) {
    const bool of_section = std::ranges::any_of(
        unused, [&](const std::string& section) { return key.name.starts_with(section + "."); });
    if ((key.key.ignored & use) != 0 && !of_section && recipe.places.Given(key.name))
      unused.push_back(key.name);
  }
  return unused;
}

}  // namespace longspan
