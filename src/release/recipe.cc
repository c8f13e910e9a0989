#include "release/recipe.h"

#include <glob.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/schema_reader.h"
#include "release/recipe_keys.h"
#include "release/recipe_rules.h"

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

void SortUnique(std::vector<std::int64_t>& list) {
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

// The paths behind one input: the file or folder of this very name, or else what a pattern matches. A leading
// ~ is the home folder.
std::vector<fs::path> Expand(const fs::path& folder, const std::string& input) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder / input, error))) return {folder / input};
  std::string pattern;
  if (!input.starts_with("~") && !input.starts_with("/")) {
    for (const char c : (folder / "").string()) {  // only the input is a pattern
      if (std::string_view("*?[]\\").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
  }
  pattern += input;
  std::vector<fs::path> paths;
  glob_t found{};
  if (::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  return paths;
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
  SortUnique(eval.contexts);
  SortUnique(eval.passkey.lengths);
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
  for (fs::path* out : {&release.out, &recipe.train.out}) {
    if (!out->has_filename()) *out = out->parent_path();  // "out/" is "out"
  }
  CheckRules(recipe, use);
}

Recipe LoadRecipe(const fs::path& path, RecipeUse use) { return ParseRecipe(path, ReadYamlFile(path), use); }

Recipe ParseRecipe(const fs::path& path, std::string text, RecipeUse use) {
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

fs::path WorkFolder(const Recipe& recipe) { return recipe.release.out.lexically_normal().string() + ".work"; }

std::vector<fs::path> ResolveInputs(const Recipe& recipe, const std::vector<std::string>& inputs,
                                    std::string_view key) {
  std::vector<fs::path> paths;
  for (const std::string& input : inputs) {
    const std::vector<fs::path> found = Expand(recipe.file.parent_path(), input);
    if (found.empty()) {
      const std::string hint =
          recipe.data.packages.empty() || key != "data.inputs"
              ? ""
              : fmt::format("; on Debian, apt-get install {}", fmt::join(recipe.data.packages, " "));
      recipe.places.FailAt(key,
                           fmt::format("no file or folder at {}{}",
                                       Printable((recipe.file.parent_path() / input).string(), 400), hint));
    }
    // A document must not count twice because a link leads to it. It could be trained on and held out at
    // once.
    for (const fs::path& path : found) {
      std::error_code error;
      paths.push_back(fs::canonical(path, error));
      if (error)
        recipe.places.FailAt(key, fmt::format("{}: {}", Printable(path.string(), 400), error.message()));
    }
  }
  std::ranges::sort(paths);
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

}  // namespace longspan
