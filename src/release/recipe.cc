#include "release/recipe.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/yaml_section.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxContext = 1 << 24;
constexpr std::int64_t kMaxCount = std::int64_t{1} << 40;

constexpr std::array<std::pair<std::string_view, PoseVariant>, 2> kVariants = {
    {{"paper", PoseVariant::kPaper}, {"axolotl", PoseVariant::kAxolotl}}};
constexpr std::array<std::pair<std::string_view, AdapterKind>, 3> kAdapters = {
    {{"full", AdapterKind::kFull}, {"lora", AdapterKind::kLora}, {"rslora", AdapterKind::kRsLora}}};
constexpr std::array<std::pair<std::string_view, ScheduleKind>, 2> kSchedules = {
    {{"constant", ScheduleKind::kConstant}, {"cosine", ScheduleKind::kCosine}}};
constexpr std::array<std::string_view, 7> kTargets = {"q", "k", "v", "o", "gate", "up", "down"};

template <class Table, class T>
std::string_view NameIn(const Table& table, T value) {
  for (const auto& [name, known] : table) {
    if (known == value) return name;
  }
  Fail(ErrorKind::kInternal, "a choice without a name");
}

template <class Table, class T>
void ReadChoice(YamlSection& section, std::string_view key, const Table& table, T& out) {
  std::string text(NameIn(table, out));
  section.Read(key, text);
  std::string names;
  for (const auto& [name, value] : table) {
    if (name == text) {
      out = value;
      return;
    }
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  section.FailAt(key, fmt::format("expected one of {}, found '{}'", names, text));
}

// What may become part of a file's name.
bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= 200 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
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
    section.FailAt("max_tokens", fmt::format("{} is less than min_tokens, {}", data.max_tokens, data.min_tokens));
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
  if (rope.factor && rope.scaling == RopeScaling::Kind::kNone) section.FailAt("factor", "has no meaning with scaling none");
  section.Finish();
  return rope;
}

PoseRecipe ReadPose(YamlSection section) {
  PoseRecipe pose;
  section.Read("enabled", pose.enabled);
  ReadChoice(section, "variant", kVariants, pose.variant);
  section.Read("chunks", pose.chunks, {1}, {1024});
  std::string lengths = "random";
  section.Read("lengths", lengths);
  if (lengths != "random" && lengths != "equal") {
    section.FailAt("lengths", fmt::format("expected random or equal, found '{}'", lengths));
  }
  pose.random_lengths = lengths == "random";
  section.Read("unmodified", pose.unmodified, 0.0, 1.0);
  section.Finish();
  return pose;
}

TrainRecipe ReadTrain(YamlSection section) {
  TrainRecipe train;
  ReadChoice(section, "adapter", kAdapters, train.adapter);
  section.Read("rank", train.rank, {1}, {65'536});
  train.alpha = static_cast<double>(train.rank);
  section.Read("alpha", train.alpha, 0.0, 1e6);
  section.Read("dropout", train.dropout, 0.0, 0.95);
  section.Read("targets", train.targets);
  for (const std::string& target : train.targets) {
    if (std::ranges::find(kTargets, target) == kTargets.end()) {
      section.FailAt("targets", fmt::format("expected {}, found '{}'", fmt::join(kTargets, ", "), target));
    }
  }
  if (train.targets.empty()) section.FailAt("targets", "expected at least one projection");
  section.Require("learning_rate", train.learning_rate, 0.0, 10.0);
  ReadChoice(section, "schedule", kSchedules, train.schedule);
  section.Read("min_learning_rate_ratio", train.min_learning_rate_ratio, 0.0, 1.0);
  section.Read("warmup", train.warmup, {0}, kMaxCount);
  section.Read("steps", train.steps);
  section.Read("epochs", train.epochs);
  section.Read("batch_size", train.batch_size, {1}, {1 << 20});
  section.Read("gradient_accumulation", train.gradient_accumulation, {1}, {1 << 20});
  section.Read("weight_decay", train.weight_decay, 0.0, 10.0);
  section.Read("max_grad_norm", train.max_grad_norm, 0.0, 1e9);
  section.Read("seed", train.seed);
  section.Read("retrieval_share", train.retrieval_share, 0.0, 1.0);
  section.Read("checkpoint_every", train.checkpoint_every, {1}, kMaxCount);
  section.Read("eval_every", train.eval_every, {1}, kMaxCount);
  section.Finish();
  if (train.steps.has_value() == train.epochs.has_value()) section.FailAt("steps", "expected either steps or epochs");
  if (train.steps && *train.steps < 1) section.FailAt("steps", "expected at least 1");
  if (train.epochs && !(*train.epochs > 0)) section.FailAt("epochs", "expected more than 0");
  return train;
}

EvalRecipe ReadEval(YamlSection section, const ContextRecipe& context) {
  EvalRecipe eval;
  eval.contexts = {context.target};
  section.Read("contexts", eval.contexts);
  section.Read("stride", eval.stride, {1}, kMaxContext);
  section.Read("max_tokens", eval.max_tokens, {1}, kMaxCount);
  YamlSection passkey = section.Section("passkey");
  eval.passkey.lengths = eval.contexts;
  passkey.Read("lengths", eval.passkey.lengths);
  passkey.Read("depths", eval.passkey.depths);
  passkey.Read("trials", eval.passkey.trials, {1}, {1'000'000});
  passkey.Read("seed", eval.passkey.seed);
  const auto in_window = [](std::int64_t n) { return n >= 2 && n <= kMaxContext; };
  if (!std::ranges::all_of(eval.contexts, in_window)) section.FailAt("contexts", "expected lengths of 2 tokens and more");
  if (!std::ranges::all_of(eval.passkey.lengths, in_window)) passkey.FailAt("lengths", "expected lengths of 2 tokens and more");
  if (!std::ranges::all_of(eval.passkey.depths, [](double d) { return d >= 0 && d <= 1; })) {
    passkey.FailAt("depths", "expected shares from 0, the start of the prompt, to 1, its end");
  }
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
  if (!IsPlainName(release.name)) section.FailAt("name", "expected letters, digits, '-', '_' and '.', for files carry it");
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
  sample.Read("seed", release.sample.seed);
  sample.Finish();
  section.Finish();
  return release;
}

}  // namespace

std::string_view Name(PoseVariant variant) { return NameIn(kVariants, variant); }

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
  recipe.pose = ReadPose(document.Section("pose"));
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

std::vector<fs::path> ResolveInputs(const Recipe& recipe) {
  std::vector<fs::path> paths;
  for (const std::string& input : recipe.data.inputs) {
    const std::string pattern = (recipe.file.parent_path() / input).string();
    glob_t found{};
    const int status = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
    for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    if (status != 0) {
      Fail(ErrorKind::kIo, "{}: data.inputs: no file or folder at {}{}", recipe.file.string(), pattern,
           recipe.data.packages.empty()
               ? ""
               : fmt::format("; on Debian, apt-get install {}", fmt::join(recipe.data.packages, " ")));
    }
  }
  return paths;
}

}  // namespace longspan
