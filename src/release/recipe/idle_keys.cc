#include "release/recipe/idle_keys.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace longspan {
namespace {

class Collector {
 public:
  void Add(bool idle, std::string beside, std::initializer_list<std::string_view> keys) {
    if (!idle) return;
    for (const std::string_view key : keys) {
      if (!IsIdle(keys_, key)) keys_.push_back({key, beside});
    }
  }
  std::vector<IdleKey> Take() { return std::move(keys_); }

 private:
  std::vector<IdleKey> keys_;
};

void AddPositions(const Recipe& recipe, Collector& idle) {
  using Kind = RopeScaling::Kind;
  const Kind scaling = recipe.rope.scaling;
  const std::string beside = fmt::format("with rope.scaling: {}", Name(scaling));
  idle.Add(scaling == Kind::kNone, beside, {"rope.factor"});
  idle.Add(scaling != Kind::kYarn && scaling != Kind::kLlama3, beside, {"rope.original_context"});
  const PoseOptions& pose = recipe.pose.options;
  idle.Add(!recipe.pose.enabled, "with pose.enabled: false",
           {"pose.variant", "pose.chunks", "pose.lengths", "pose.unmodified", "pose.skip_text"});
  idle.Add(pose.variant == PoseOptions::Variant::kRandPos, "with pose.variant: randpos",
           {"pose.chunks", "pose.lengths"});
  idle.Add(pose.chunks == 1, "with pose.chunks: 1", {"pose.lengths"});
}

void AddTraining(const Recipe& recipe, Collector& idle) {
  const TrainRecipe& train = recipe.train;
  const bool full = train.adapter == AdapterKind::kFull;
  idle.Add(full, "where all weights are trained",
           {"train.rank", "train.alpha", "train.dropout", "train.targets"});
  idle.Add(!full, "where an adapter is trained", {"train.type"});
  idle.Add(train.schedule == ScheduleKind::kConstant, "with train.schedule: constant",
           {"train.min_learning_rate_ratio"});
  idle.Add(train.eval_examples == 0, "with train.eval_examples: 0", {"train.eval_every"});
}

void AddRelease(const Recipe& recipe, Collector& idle) {
  idle.Add(recipe.eval.by_position.documents == 0, "with eval.by_position.documents: 0",
           {"eval.by_position.max_tokens"});
  const ReleaseRecipe& release = recipe.release;
  idle.Add(release.power_watts == 0, "without release.power_watts",
           {"release.power_source", "release.grid_g_per_kwh", "release.grid_source"});
  idle.Add(release.grid_g_per_kwh == 0, "without release.grid_g_per_kwh", {"release.grid_source"});
  const SampleRecipe& sample = release.sample;
  idle.Add(sample.prompt.empty(), "without release.sample.prompt",
           {"release.sample.tokens", "release.sample.temperature", "release.sample.repeat_penalty",
            "release.sample.seed"});
  idle.Add(sample.temperature == 0, "with release.sample.temperature: 0", {"release.sample.seed"});
}

}  // namespace

std::vector<IdleKey> IdleKeys(const Recipe& recipe) {
  Collector idle;
  AddPositions(recipe, idle);
  AddTraining(recipe, idle);
  AddRelease(recipe, idle);
  return idle.Take();
}

}  // namespace longspan
