// longspan plan: what a job will need and take, before it begins.
#include "plan/job_plan.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/plan_table.h"
#include "cli/terminal.h"
#include "release/recipe.h"

namespace longspan {
namespace {

struct PlanOptions {
  std::string recipe, isa = "auto";
  bool json = false;
};

void RunPlan(const PlanOptions& options) {
  const JobPlan plan = PlanJob(LoadRecipe(options.recipe), options.isa, Terminal());
  if (options.json) {
    fmt::print("{}\n", ToJson(plan).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  PrintPlan(plan);
}

}  // namespace

void AddPlan(CLI::App& app) {
  const auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Memory, disk, time and energy of a job, before it begins");
  command->add_option("RECIPE", options->recipe, "YAML file; longspan recipe keys lists every key")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--isa", options->isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Measures this machine for a few seconds and writes nothing. Where the job does not fit, it says which "
      "keys of the\n"
      "recipe, with which values, would make it fit.\n\n"
      "Example:\n  longspan plan recipes/demo.yml");
  command->callback([options] { RunPlan(*options); });
}

}  // namespace longspan
