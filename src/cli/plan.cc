// longspan plan: what a job will need and take, before it begins.
#include "plan/job_plan.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/job_options.h"
#include "cli/plan_table.h"
#include "cli/terminal.h"
#include "plan/choose.h"
#include "release/recipe/recipe.h"

namespace longspan {
namespace {

struct PlanOptions {
  JobOptions job;
  bool json = false;
};

Recipe RecipeOf(const JobOptions& job) {
  if (!job.WithoutRecipe()) return LoadRecipe(job.what.front());
  if (auto earlier = job.EarlierRecipe()) return *std::move(earlier);
  return ChooseRecipe(job.Request(), job.isa, Terminal()).recipe;
}

void RunPlan(const PlanOptions& options) {
  const JobPlan plan = PlanJob(RecipeOf(options.job), options.job.isa, Terminal());
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
  options->job.AddTo(*command);
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Measures this machine for a few seconds and writes nothing. Where the job does not fit, it says which "
      "keys of the\n"
      "recipe, with which values, would make it fit; that is an answer, too, and exits with 0.\n\n"
      "Examples:\n  longspan plan recipes/demo.yml\n  longspan plan model.gguf books/ --to 65536");
  command->callback([options] { RunPlan(*options); });
}

}  // namespace longspan
