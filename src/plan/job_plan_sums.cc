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
  std::int64_t bytes = 0;
  for (const StagePlan& stage : stages) bytes += stage.disk;
  return bytes;
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
