#include "release/recipe.h"

#include <glob.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/yaml_section.h"
#include "train/config.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxContext = 1 << 24;
constexpr std::int64_t kMaxCount = std::int64_t{1} << 40;

// What may become part of a file's name.
bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(
             text, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

DataRecipe ReadData(YamlSection section) {
  DataRecipe data;
  section.Require("inputs", data.inputs);
  if (data.inputs.empty()) section.FailAt("inputs", "expected at least one file, folder or pattern");
  section.Read("packages", data.packages);
  section.Read("text_field", data.text_field);
  section.Read("min_tokens", data.min_tokens, {0}, kMaxCount);
  section.Read("max_tokens", data.max_tokens, {0}, kMaxCount);
  if (data.max_tokens != 0 && data.max_tokens < data.min_tokens) {
    section.FailAt("max_tokens",
                   fmt::format("{} is less than min_tokens, {}", data.max_tokens, data.min_tokens));
  }
  section.Read("slice", data.slice);
  section.Read("validation", data.validation, 0.0, 0.5);
  section.Finish();
  return data;
}

ContextRecipe ReadContext(YamlSection section) {
  ContextRecipe context;
  section.Require("target", context.target, {2}, kMaxContext);
  section.Read("window", context.window, {2}, kMaxContext);
  section.Read("release", context.release, {2}, kMaxContext);
  if (context.window > context.target) {
    section.FailAt("window", fmt::format("{} is more than the target, {}", context.window, context.target));
  }
  section.Finish();
  return context;
}

RopeRecipe ReadRope(YamlSection section) {
  RopeRecipe rope;
  std::string scaling(Name(rope.scaling));
  section.Read("scaling", scaling);
  try {
    rope.scaling = RopeScalingKind(scaling);
  } catch (const Error& error) {
    section.FailAt("scaling", error.what());
  }
  const auto positive = [&](std::string_view key, std::optional<double>& out, double low, double high) {
    double value = low;
    section.Read(key, value, low, high);
    if (section.Has(key)) out = value;
  };
  positive("factor", rope.factor, 1, 1e6);
  positive("theta", rope.theta, 1, 1e12);
  positive("release_theta", rope.release_theta, 1, 1e12);
  if (rope.factor && rope.scaling == RopeScaling::Kind::kNone)
    section.FailAt("factor", "has no meaning with scaling none");
  section.Finish();
  return rope;
}

PoseRecipe ReadPose(YamlSection section, const ContextRecipe& context) {
  PoseRecipe pose;
  section.Read("enabled", pose.enabled);
  pose.options = ReadPoseOptions(section);
  pose.options.target_context = context.target;
  section.Finish();
  return pose;
}

TrainRecipe ReadTrain(YamlSection section) {
  TrainRecipe train{ReadTrainOptions(section), {}, 0};
  section.Read("steps", train.steps, {1}, kMaxCount);
  section.Read("epochs", train.epochs);
  section.Read("retrieval_share", train.retrieval_share, 0.0, 1.0);
  section.Finish();
  if ((train.steps > 0) == train.epochs.has_value())
    section.FailAt("steps", "expected either steps or epochs");
  if (train.epochs && !(*train.epochs > 0)) section.FailAt("epochs", "expected more than 0");
  return train;
}

EvalRecipe ReadEval(YamlSection section, const ContextRecipe& context) {
  EvalRecipe eval;
  eval.contexts = {context.target};
  section.Read("contexts", eval.contexts);
  section.Read("inputs", eval.inputs);
  section.Read("stride", eval.stride, {1}, kMaxContext);
  section.Read("max_tokens", eval.max_tokens, {1}, kMaxCount);
  YamlSection passkey = section.Section("passkey");
  eval.passkey.lengths = eval.contexts;
  passkey.Read("lengths", eval.passkey.lengths);
  passkey.Read("depths", eval.passkey.depths, {1}, {1'000});
  passkey.Read("trials", eval.passkey.trials, {1}, {1'000'000});
  passkey.Read("seed", eval.passkey.seed);
  const auto in_window = [](std::int64_t n) { return n >= 2 && n <= kMaxContext; };
  if (!std::ranges::all_of(eval.contexts, in_window))
    section.FailAt("contexts", "expected lengths of 2 tokens and more");
  if (!std::ranges::all_of(eval.passkey.lengths, in_window))
    passkey.FailAt("lengths", "expected lengths of 2 tokens and more");
  for (auto* list : {&eval.contexts, &eval.passkey.lengths}) {
    std::ranges::sort(*list);
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  passkey.Finish();
  section.Finish();
  return eval;
}

ReleaseRecipe ReadRelease(YamlSection section, const fs::path& folder) {
  ReleaseRecipe release;
  section.Require("name", release.name);
  if (!IsPlainName(release.name))
    section.FailAt("name", "expected letters, digits, '-', '_' and '.', for files carry it");
  section.Require("license", release.license);
  section.Read("language", release.language);
  section.Read("tags", release.tags);
  std::string out = "out/" + release.name;
  section.Read("out", out);
  release.out = folder / out;
  section.Read("power_watts", release.power_watts, 0.0, 1e9);
  section.Read("power_source", release.power_source);
  section.Read("grid_g_per_kwh", release.grid_g_per_kwh, 0.0, 1e5);
  section.Read("grid_source", release.grid_source);
  YamlSection sample = section.Section("sample");
  sample.Read("prompt", release.sample.prompt);
  sample.Read("tokens", release.sample.tokens, {1}, {1'000'000});
  sample.Read("temperature", release.sample.temperature, 0.0, 100.0);
  sample.Read("repeat_penalty", release.sample.repeat_penalty, 0.01, 100.0);
  sample.Read("seed", release.sample.seed);
  sample.Finish();
  section.Finish();
  return release;
}

}  // namespace

Recipe LoadRecipe(const fs::path& path) {
  Recipe recipe;
  recipe.file = path;
  YamlSection document(path, "", LoadYaml(path));
  recipe.text = ReadFile(path);

  YamlSection base = document.RequireSection("base");
  std::string model;
  base.Require("model", model);
  recipe.base = path.parent_path() / model;
  recipe.base_id = fs::path(model).filename().replace_extension().string();
  base.Read("id", recipe.base_id);
  base.Finish();

  recipe.data = ReadData(document.RequireSection("data"));
  recipe.context = ReadContext(document.RequireSection("context"));
  recipe.rope = ReadRope(document.Section("rope"));
  recipe.pose = ReadPose(document.Section("pose"), recipe.context);
  recipe.train = ReadTrain(document.RequireSection("train"));
  YamlSection quantize = document.Section("quantize");
  recipe.quantize = {"F16"};
  quantize.Read("types", recipe.quantize);
  for (const std::string& type : recipe.quantize) {
    if (!IsPlainName(type)) quantize.FailAt("types", fmt::format("'{}' is no type's name", type));
  }
  quantize.Finish();
  recipe.eval = ReadEval(document.Section("eval"), recipe.context);
  recipe.release = ReadRelease(document.RequireSection("release"), path.parent_path());
  document.Finish();
  return recipe;
}

std::vector<fs::path> ResolveInputs(const Recipe& recipe, const std::vector<std::string>& inputs) {
  std::vector<fs::path> paths;
  for (const std::string& input : inputs) {
    const std::string pattern = (recipe.file.parent_path() / input).string();
    glob_t found{};
    const int status = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
    for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    if (status != 0) {
      Fail(ErrorKind::kIo, "{}: no file or folder at {}{}", recipe.file.string(), pattern,
           recipe.data.packages.empty()
               ? ""
               : fmt::format("; on Debian, apt-get install {}", fmt::join(recipe.data.packages, " ")));
    }
  }
  // One document must not count twice because a link leads to it too: it could be trained on and held out at
  // once.
  for (fs::path& path : paths) {
    std::error_code error;
    const fs::path found = fs::canonical(path, error);
    if (error) Fail(ErrorKind::kIo, "{}: a link that leads to no file: {}", path.string(), error.message());
    path = found;
  }
  std::ranges::sort(paths);
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

}  // namespace longspan
