// What a plan comes to, whether the machine has it, and the plan as JSON.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "plan/job_plan.h"

namespace longspan {

double JobPlan::Seconds() const {
  double seconds = 0;
  for (const StagePlan& stage : stages) seconds += stage.seconds;
  return seconds;
}

std::int64_t JobPlan::Disk() const {
  std::int64_t most = 0, left = 0;
  for (const StagePlan& stage : stages) {
    most = std::max(most, left + stage.disk);
    left += stage.disk - stage.removed;
  }
  return most;
}

const StagePlan& JobPlan::Hungriest() const {
  return *std::ranges::max_element(stages, {}, &StagePlan::Memory);
}

void RequireFit(const JobPlan& plan, const std::filesystem::path& recipe) {
  if (plan.shortages.empty()) return;
  std::string all;
  for (const Shortage& shortage : plan.shortages) all += shortage.advice + "; ";
  Fail(plan.shortages.front().kind,
       "{0}: does not fit this machine: {1}edit it, and 'longspan extend {0}' does as it says",
       recipe.string(), all);
}

void RequireRestFits(const Recipe& recipe, Progress& progress) {
  JobPlan plan = PlanRest(recipe, progress);
  if (plan.shortages.empty()) return;
  // Other programs may end before this memory is needed. More than there is will never do.
  const bool fits = plan.Hungriest().Memory() <= plan.machine.memory;
  std::erase_if(plan.shortages, [&](const Shortage& shortage) {
    const bool may_fit = fits && shortage.kind == ErrorKind::kOutOfMemory;
    if (may_fit) progress.Message(fmt::format("warning: {}", shortage.advice));
    return may_fit;
  });
  RequireFit(plan, recipe.file);
}

nlohmann::ordered_json ToJson(const JobPlan& plan) {
  nlohmann::ordered_json json;
  const MachineFacts& m = plan.machine;
  json["machine"] = {{"processor", m.processor},
                     {"threads", m.threads},
                     {"memory", m.memory},
                     {"available_memory", m.available_memory},
                     {"free_disk", m.free_disk}};
  json["documents"] = plan.documents;
  json["corpus_tokens"] = plan.corpus_tokens;
  json["corpus_share"] = plan.corpus_share;
  json["steps"] = plan.steps;
  json["examples"] = plan.examples;
  json["trained_parameters"] = plan.trained_parameters;
  json["training_extrapolated"] = plan.training_extrapolated;
  json["seconds"] = plan.Seconds();
  json["disk"] = plan.Disk();
  json["memory"] = plan.Hungriest().Memory();
  json["kilowatt_hours"] = plan.power_watts * plan.Seconds() / 3.6e6;
  json["stages"] = nlohmann::ordered_json::array();
  for (const StagePlan& stage : plan.stages) {
    nlohmann::ordered_json entry{{"name", stage.name},     {"seconds", stage.seconds},
                                 {"tokens", stage.tokens}, {"memory", stage.Memory()},
                                 {"mapped", stage.mapped}, {"disk", stage.disk}};
    for (const MemoryPart& part : stage.memory) entry["memory_parts"][part.what] = part.bytes;
    json["stages"].push_back(std::move(entry));
  }
  json["advice"] = nlohmann::ordered_json::array();
  for (const Shortage& shortage : plan.shortages) json["advice"].push_back(shortage.advice);
  return json;
}

}  // namespace longspan
