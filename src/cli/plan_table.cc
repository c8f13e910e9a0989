#include "cli/plan_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "cli/time_text.h"

namespace longspan {
namespace {

std::string Size(std::int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b >= 0x1p30) return fmt::format("{:.1f} GiB", b / 0x1p30);
  return fmt::format("{:.0f} MiB", std::ceil(b / 0x1p20));
}

std::string Count(std::int64_t n) { return n == 0 ? "" : fmt::format("{}", n); }

}  // namespace

void PrintPlan(const JobPlan& plan) {
  const MachineFacts& m = plan.machine;
  fmt::print("{}, {} threads, {} of memory ({} available), {} of disk free\n\n", m.processor, m.threads,
             Size(m.memory), Size(m.available_memory),
             m.free_disk < 0 ? "an unknown amount" : Size(m.free_disk));
  fmt::print("{} documents with {} tokens{}\n", plan.documents, plan.corpus_tokens,
             plan.corpus_share < 1
                 ? fmt::format(" (an estimate from {:.2g}% of the corpus)", 100 * plan.corpus_share)
                 : "");
  fmt::print("{} steps, {} examples, {} values trained\n\n", plan.steps, plan.examples,
             plan.trained_parameters);
  std::size_t width = 5;
  for (const StagePlan& stage : plan.stages) width = std::max(width, stage.name.size());
  fmt::print("{:<{}}  {:>14}  {:>12}  {:>9}  {:>9}  {:>9}\n", "stage", width, "time", "tokens", "memory",
             "mapped", "disk");
  for (const StagePlan& stage : plan.stages) {
    fmt::print("{:<{}}  {:>14}  {:>12}  {:>9}  {:>9}  {:>9}\n", stage.name, width, RoughTime(stage.seconds),
               Count(stage.tokens), Size(stage.Memory()), stage.mapped > 0 ? Size(stage.mapped) : "",
               stage.disk > 0 ? Size(stage.disk) : "");
  }
  const StagePlan& most = plan.Hungriest();
  fmt::print("{:<{}}  {:>14}  {:>12}  {:>9}  {:>9}  {:>9}\n\n", "in all", width, RoughTime(plan.Seconds()),
             "", Size(most.Memory()), "", Size(plan.Disk()));
  fmt::print("Memory is largest in {}:\n", most.name);
  for (const MemoryPart& part : most.memory) fmt::print("  {:>9}  {}\n", Size(part.bytes), part.what);
  fmt::print("  {:>9}  files that are mapped: the system can drop and read them again\n", Size(most.mapped));
  if (plan.power_watts > 0) {
    const double kwh = plan.power_watts * plan.Seconds() / 3.6e6;
    fmt::print("\nEnergy {:.3g} kWh at {:g} W", kwh, plan.power_watts);
    if (plan.grid_g_per_kwh > 0)
      fmt::print(", {:.3g} g of CO2 at {:g} g/kWh", kwh * plan.grid_g_per_kwh, plan.grid_g_per_kwh);
    fmt::print("\n");
  }
  if (plan.training_extrapolated)
    fmt::print("\nTraining's time is extrapolated from a part of a layer and of a batch.\n");
  fmt::print("\n");
  for (const Shortage& shortage : plan.shortages) fmt::print("Does not fit: {}\n", shortage.advice);
  if (plan.shortages.empty()) fmt::print("It fits.\n");
}

}  // namespace longspan
