#include "release/recipe/recipe_rules.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/printable.h"
#include "quantize/mix.h"
#include "release/recipe/idle_keys.h"
#include "release/recipe/recipe_keys.h"
#include "release/sample.h"
#include "tensor/tensor.h"

namespace longspan {
namespace {

// What may become part of a file's name.
bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(
             text, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

// What hubs know a licence by: "apache-2.0", "cc-by-nc-4.0", "other".
bool IsLicense(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::isalnum(static_cast<unsigned char>(text.front())) &&
         std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '+';
         });
}

// "en", "zh-Hant", "multilingual".
bool IsLanguage(std::string_view text) {
  return text.size() >= 2 && text.size() <= 35 && std::isalpha(static_cast<unsigned char>(text.front())) &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

// One line of text.
bool IsLine(std::string_view text) {
  return !text.empty() && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::string Shown(const std::string& text) { return fmt::format("'{}'", Printable(text)); }
std::string Shown(std::int64_t number) { return fmt::format("{}", number); }

template <class T>
void CheckOnce(const Recipe& recipe, std::string_view key, std::vector<T> list) {
  std::ranges::sort(list);
  const auto twice = std::ranges::adjacent_find(list);
  if (twice != list.end()) recipe.places.FailAt(key, fmt::format("{} is given twice", Shown(*twice)));
}

void CheckIdle(const Recipe& recipe) {
  for (const IdleKey& key : IdleKeys(recipe)) {
    if (!recipe.places.Given(key.name)) continue;
    recipe.places.FailAt(key.name,
                         fmt::format("has no meaning {}; change that, or leave it out", key.beside));
  }
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
  CheckOnce(recipe, "data.inputs", data.inputs);
  CheckOnce(recipe, "data.retention", data.retention);
  if (use == kForExtend && data.validation == 0 && recipe.eval.inputs.empty()) {
    at.FailAt("data.validation",
              "0 holds out no document to measure on; write 0.05, or name texts in eval.inputs");
  }
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
  if (context.release != 0 && context.release < context.target) {
    at.FailAt("context.release", fmt::format("{} is less than the target, {}; write {} or more",
                                             context.release, context.target, context.target));
  }
  const bool scaled = recipe.rope.scaling != RopeScaling::Kind::kNone;
  if (scaled && !recipe.rope.factor && context.target != 0 &&
      recipe.rope.original_context >= context.target) {
    at.FailAt("rope.original_context",
              fmt::format("{} is no less than the target, {}, so that nothing is scaled; write the base's "
                          "window, or give rope.factor",
                          recipe.rope.original_context, context.target));
  }
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
  if (pose.skip_text && recipe.train.pack) {
    at.FailAt("pose.skip_text",
              "text cannot skip where documents are packed; write false, or train.pack: false");
  }
  if (recipe.context.window != 0 && pose.chunks > recipe.context.window) {
    at.FailAt("pose.chunks", fmt::format("{} chunks in an example of {} tokens; write fewer", pose.chunks,
                                         recipe.context.window));
  }
}

void CheckAdapter(const Recipe& recipe) {
  const TrainRecipe& train = recipe.train;
  const KeyPlaces& at = recipe.places;
  for (const std::string& target : train.targets) {
    if (std::ranges::find(kProjections, target) == kProjections.end()) {
      at.FailAt("train.targets",
                fmt::format("expected {}, found '{}'", fmt::join(kProjections, ", "), Printable(target)));
    }
  }
  CheckOnce(recipe, "train.targets", train.targets);
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
  if (constexpr std::int64_t kMost = 1 << 20; train.ExamplesPerStep() > kMost) {
    at.FailAt("train.gradient_accumulation",
              fmt::format("{} passes of {} examples are {} examples a step; write less, up to {}",
                          train.gradient_accumulation, train.batch_size, train.ExamplesPerStep(),
                          std::max<std::int64_t>(1, kMost / train.batch_size)));
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
  CheckOnce(recipe, "eval.inputs", eval.inputs);
  CheckOnce(recipe, "eval.contexts", eval.contexts);
  CheckOnce(recipe, "eval.passkey.lengths", eval.passkey.lengths);
  const std::int64_t window = std::max(recipe.context.target, recipe.context.release);
  const auto check = [&](std::string_view key, std::int64_t tokens) {
    if (tokens <= window) return;
    at.FailAt(key, fmt::format("{} is more than the window of the released files, {}; write {} or less, or "
                               "raise context.release",
                               tokens, window, window));
  };
  check("eval.contexts", eval.contexts.back());
  check("eval.passkey.lengths", eval.passkey.lengths.back());
  check("eval.kld.context", eval.kld.context);
  check("eval.by_position.max_tokens", eval.by_position.max_tokens);
  if (at.Given("release.sample.tokens")) check("release.sample.tokens", recipe.release.sample.tokens);
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
  if (!IsLicense(release.license)) {
    at.FailAt("release.license",
              fmt::format("expected a licence as hubs name it, such as apache-2.0 or other, found {}",
                          Shown(release.license)));
  }
  for (const std::string& language : release.language) {
    if (!IsLanguage(language)) {
      at.FailAt("release.language",
                fmt::format("expected codes of languages, such as en, found {}", Shown(language)));
    }
  }
  for (const std::string& tag : release.tags) {
    if (!IsLine(tag)) at.FailAt("release.tags", fmt::format("expected words, found {}", Shown(tag)));
  }
  CheckOnce(recipe, "release.language", release.language);
  CheckOnce(recipe, "release.tags", release.tags);
  if (!release.out.has_filename()) {
    at.FailAt("release.out", fmt::format("expected a folder of its own, found {}", release.out.string()));
  }
  try {
    SamplerOf(release.sample).Validate();
  } catch (const Error& error) {
    at.FailAt("release.sample", error.what());
  }
}

}  // namespace

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
  CheckIdle(recipe);
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
