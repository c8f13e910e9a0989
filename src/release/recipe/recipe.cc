#include "release/recipe/recipe.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/schema_reader.h"
#include "release/recipe/recipe_keys.h"
#include "release/recipe/recipe_rules.h"
#include "text/utf8.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// The longest default window of a measurement: a pass over such windows takes minutes with an 8B, not hours.
constexpr std::int64_t kAffordableWindow = 4096;

// Keys of older configurations, which are keys of recipes now.
struct MovedKey {
  std::string_view from, to;
};
constexpr std::array<MovedKey, 12> kMovedKeys{{{"model.base", "base.model"},
                                               {"model.new", "base.new"},
                                               {"model.new.initialisation", "base.new.initialization"},
                                               {"base.new.initialisation", "base.new.initialization"},
                                               {"model.type", "train.type"},
                                               {"data.length", "context.window"},
                                               {"data.pack", "train.pack"},
                                               {"data.retrieval_share", "train.retrieval_share"},
                                               {"data.echo_share", "train.echo_share"},
                                               {"pose.target", "context.target"},
                                               {"model", "base"},
                                               {"out", "train.out"}}};

void RefuseMovedKeys(const fs::path& file, const YAML::Node& document) {
  std::vector<std::string> moved;
  int first = 0;
  for (const auto& [from, to] : kMovedKeys) {
    const std::optional<int> line = FindLine(document, from);
    if (!line || (from == "model" && !moved.empty())) continue;
    if (first == 0 || *line < first) first = *line;
    moved.push_back(fmt::format("{} for {} (line {})", to, from, *line));
  }
  if (moved.empty()) return;
  Fail(ErrorKind::kInvalidFile, "{}:{}: these keys have new names: write {}", file.string(), first,
       fmt::join(moved, ", "));
}

// The card holds the recipe, and hubs read cards as UTF-8.
void CheckUtf8(const fs::path& file, std::string_view text) {
  const std::size_t valid = ValidUtf8Prefix(text);
  if (valid == text.size()) return;
  const std::string_view before = text.substr(0, valid);
  Fail(ErrorKind::kInvalidFile, "{}:{}: expected UTF-8, found the byte {:#04x}", file.string(),
       std::ranges::count(before, '\n') + 1, static_cast<unsigned char>(text[valid]));
}

// A folder by a name of its own: "out/" and "out/." are "out", "." and ".." are what they stand for.
fs::path Named(const fs::path& folder) {
  fs::path named = folder;
  while ((named.filename().empty() || named.filename() == ".") && named != named.parent_path())
    named = named.parent_path();
  if (!folder.empty() && (named.empty() || named.filename() == "..")) named = fs::weakly_canonical(folder);
  return named;
}

// Sets the defaults that follow from other keys, for keys that the file does not give.
void FollowGivenKeys(Recipe& recipe) {
  TrainRecipe& train = recipe.train;
  if (!recipe.places.Given("train.alpha")) train.alpha = static_cast<double>(train.rank);
  if (!recipe.new_model) return;
  if (!recipe.places.Given("train.adapter")) train.adapter = AdapterKind::kFull;
  LlamaConfig& config = recipe.new_model->config;
  if (config.kv_heads == 0) config.kv_heads = config.heads;
  if (config.head_dim == 0) config.head_dim = config.dim / config.heads;
}

// What a model is called after its file or folder. What follows a folder's last dot is no extension:
// "Llama-3.2-1B".
std::string ModelName(fs::path base) {
  if (!base.empty()) base = fs::absolute(base).lexically_normal();
  if (!base.has_filename()) base = base.parent_path();
  return (base.extension() == ".gguf" ? base.stem() : base.filename()).string();
}

void CompleteEval(EvalRecipe& eval, std::int64_t target) {
  const std::int64_t affordable = std::min(target, kAffordableWindow);
  if (eval.contexts.empty()) eval.contexts = {affordable};
  if (eval.passkey.lengths.empty()) eval.passkey.lengths = {target};
  std::ranges::sort(eval.contexts);
  std::ranges::sort(eval.passkey.lengths);
  if (eval.stride == 0) eval.stride = std::max<std::int64_t>(1, eval.contexts.front() / 2);
  if (eval.kld.context == 0) eval.kld.context = affordable;
  if (eval.by_position.max_tokens == 0) eval.by_position.max_tokens = target;
}

}  // namespace

std::string_view Name(NewModelRecipe::Start start) {
  return start == NewModelRecipe::Start::kInduction ? "induction" : "normal";
}

std::int64_t TrainRecipe::Steps(std::int64_t examples_per_epoch) const {
  if (!epochs) return steps;
  const double examples = *epochs * static_cast<double>(examples_per_epoch);
  return std::max<std::int64_t>(1, std::llround(examples / static_cast<double>(ExamplesPerStep())));
}

std::int64_t EvalRecipe::LongestWindow() const {
  return std::max(contexts.empty() ? 0 : std::ranges::max(contexts), kld.context);
}

void CompleteRecipe(Recipe& recipe, RecipeUse use) {
  const std::int64_t target = recipe.context.target;
  PoseOptions& pose = recipe.pose.options;
  pose.target_context = target;
  if (pose.lengths == PoseOptions::Lengths::kVariant) {
    pose.lengths = pose.variant == PoseOptions::Variant::kAxolotl ? PoseOptions::Lengths::kEqual
                                                                  : PoseOptions::Lengths::kRandom;
  }
  if (target == 0 && !recipe.places.Given("pose")) recipe.pose.enabled = false;
  if (recipe.base_id.empty()) recipe.base_id = ModelName(recipe.base);
  if (target > 0) CompleteEval(recipe.eval, target);
  ReleaseRecipe& release = recipe.release;
  if (release.out.empty() && !release.name.empty())
    release.out = recipe.file.parent_path() / "out" / release.name;
  for (fs::path* out : {&release.out, &recipe.train.out}) *out = Named(*out);
  CheckRules(recipe, use);
}

Recipe LoadRecipe(const fs::path& path, RecipeUse use) { return ParseRecipe(path, ReadYamlFile(path), use); }

Recipe ParseRecipe(const fs::path& path, std::string text, RecipeUse use) {
  CheckUtf8(path, text);
  const YAML::Node document = ParseYaml(path, text);
  RefuseMovedKeys(path, document);
  Recipe recipe;
  recipe.file = path;
  recipe.text = std::move(text);
  recipe.places = ReadKeys(path, document, use, recipe);
  FollowGivenKeys(recipe);
  CompleteRecipe(recipe, use);
  return recipe;
}

std::string Fingerprint(const Recipe& recipe, Stage stage) {
  return Fingerprint(ListKeys(recipe).keys, stage);
}

}  // namespace longspan
