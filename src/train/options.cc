#include "train/options.h"

#include <algorithm>
#include <array>
#include <utility>

namespace longspan {
namespace {

constexpr std::array<std::pair<AdapterKind, std::string_view>, 3> kAdapters{
    {{AdapterKind::kFull, "full"}, {AdapterKind::kLora, "lora"}, {AdapterKind::kRsLora, "rslora"}}};
constexpr std::array<std::pair<ScheduleKind, std::string_view>, 2> kSchedules{
    {{ScheduleKind::kConstant, "constant"}, {ScheduleKind::kCosine, "cosine"}}};
constexpr std::array<std::string_view, 7> kTargets{"q", "k", "v", "o", "gate", "up", "down"};

template <class Table>
std::string_view NameIn(const Table& table, typename Table::value_type::first_type value) {
  return std::ranges::find(table, value, &Table::value_type::first)->second;
}

template <class Table, class T>
void ReadName(YamlSection& section, std::string_view key, const Table& table, T& out) {
  std::string text(NameIn(table, out));
  section.Read(key, text);
  const auto found = std::ranges::find(table, text, &Table::value_type::second);
  if (found == table.end()) {
    std::string names;
    for (const auto& entry : table) names += (names.empty() ? "" : ", ") + std::string(entry.second);
    section.FailAt(key, fmt::format("expected one of {}, found '{}'", names, text));
  }
  out = found->first;
}

}  // namespace

std::string_view Name(AdapterKind kind) { return NameIn(kAdapters, kind); }
std::string_view Name(ScheduleKind kind) { return NameIn(kSchedules, kind); }

std::string Describe(const TrainOptions& o) {
  return fmt::format(
      "{} rank {} alpha {} dropout {} targets {} rate {} {} {} warmup {} steps {} batch {}x{} decay {} "
      "betas {} {} epsilon {} clip {} seed {}",
      Name(o.adapter), o.rank, o.alpha, o.dropout, fmt::join(o.targets, ","), o.learning_rate,
      Name(o.schedule), o.min_learning_rate_ratio, o.warmup, o.steps, o.batch_size, o.gradient_accumulation,
      o.weight_decay, o.beta1, o.beta2, o.epsilon, o.max_grad_norm, o.seed);
}

TrainOptions ReadTrainOptions(YamlSection& s) {
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  TrainOptions o;
  ReadName(s, "adapter", kAdapters, o.adapter);
  s.Read<std::int64_t>("rank", o.rank, 1, 65'536);
  o.alpha = static_cast<double>(o.rank);
  s.Read("alpha", o.alpha, 1e-6, 1e6);
  s.Read("dropout", o.dropout, 0.0, 0.95);
  s.Read("targets", o.targets);
  for (const std::string& target : o.targets) {
    if (std::ranges::find(kTargets, target) == kTargets.end()) {
      s.FailAt("targets", fmt::format("expected {}, found '{}'", fmt::join(kTargets, ", "), target));
    }
  }
  if (o.targets.empty()) s.FailAt("targets", "expected at least one projection");
  s.Require("learning_rate", o.learning_rate, 0.0, 10.0);
  ReadName(s, "schedule", kSchedules, o.schedule);
  s.Read("min_learning_rate_ratio", o.min_learning_rate_ratio, 0.0, 1.0);
  s.Read<std::int64_t>("warmup", o.warmup, 0, kMany);
  s.Read<std::int64_t>("batch_size", o.batch_size, 1, 1 << 20);
  s.Read<std::int64_t>("gradient_accumulation", o.gradient_accumulation, 1, 1 << 20);
  s.Read("weight_decay", o.weight_decay, 0.0, 10.0);
  s.Read("beta1", o.beta1, 0.0, 0.99999);
  s.Read("beta2", o.beta2, 0.0, 0.99999);
  s.Read("epsilon", o.epsilon, 1e-12, 1.0);
  s.Read("max_grad_norm", o.max_grad_norm, 0.0, 1e9);
  s.Read("recompute", o.recompute);
  s.Read("seed", o.seed);
  s.Read<std::int64_t>("checkpoint_every", o.checkpoint_every, 1, kMany);
  s.Read("checkpoint_minutes", o.checkpoint_minutes, 0.0, 1e6);
  s.Read<std::int64_t>("eval_every", o.eval_every, 1, kMany);
  s.Read<std::int64_t>("eval_examples", o.eval_examples, 0, kMany);
  return o;
}

}  // namespace longspan
