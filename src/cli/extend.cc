// longspan extend: the whole job, from a recipe or without one.
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/error.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/job_options.h"
#include "cli/plan_table.h"
#include "cli/terminal.h"
#include "plan/choose.h"
#include "plan/job_plan.h"
#include "release/extend.h"
#include "release/job_paths.h"
#include "release/recipe/recipe_rules.h"
#include "release/recipe/recipe_text.h"

namespace longspan {
namespace {

std::string Share(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f}%", 100 * *share) : "-";
}

// Perplexity and passkeys by length, before and after.
void PrintTable(const Recipe& recipe, const Measurements& m) {
  std::vector<std::int64_t> lengths = recipe.eval.contexts;
  lengths.insert(lengths.end(), recipe.eval.passkey.lengths.begin(), recipe.eval.passkey.lengths.end());
  std::ranges::sort(lengths);
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  const auto perplexity = [](const Evaluation& e, std::int64_t context) {
    for (const PerplexityPoint& p : e.perplexity) {
      if (p.context == context) return fmt::format("{:.2f}", p.perplexity);
    }
    return std::string("-");
  };
  const bool control = !m.scaled.perplexity.empty();
  fmt::print("\n{:>8}  {:^35}  {:^35}\n", "", "perplexity", "passkeys found");
  fmt::print("{0:>8}  {1:>11} {2:>11} {3:>11}  {1:>11} {2:>11} {3:>11}\n", "tokens", "before",
             control ? "scaled" : "", "after");
  for (const std::int64_t n : lengths) {
    fmt::print("{:>8}  {:>11} {:>11} {:>11}  {:>11} {:>11} {:>11}\n", n, perplexity(m.before, n),
               control ? perplexity(m.scaled, n) : "", perplexity(m.after, n),
               Share(PasskeyShare(m.before.passkey, n)),
               control ? Share(PasskeyShare(m.scaled.passkey, n)) : "",
               Share(PasskeyShare(m.after.passkey, n)));
  }
  if (control) fmt::print("scaled: the base with the released RoPE, without training\n");
  for (const KeptText& text : KeptTexts(m)) {
    fmt::print("{}: perplexity {:.2f} at {} tokens before, {:.2f} at {} after: {:.3f} times\n",
               Printable(text.name), text.before, text.base_context, text.after, text.target, text.Ratio());
  }
  const QuantizationFacts& q = m.quantization;
  fmt::print("\nTypes compared with the merged model ({}) on {} tokens, in windows of {}:\n", q.reference,
             q.tokens, q.context);
  fmt::print("{:>8}  {:>9}  {:>5}  {:>10}  {:>9}\n", "type", "MB", "bits", "perplexity", "KLD");
  for (const QuantizationRow& row : q.rows) {
    fmt::print("{:>8}  {:>9.2f}  {:>5.2f}  {:>10.3f}  {:>9.6f}\n", row.name,
               static_cast<double>(row.bytes) / 1e6, row.bits_per_weight, row.perplexity, row.kld_mean);
  }
}

struct Options {
  JobOptions job;
  ExtendOptions extend;
  bool yes = false, json = false;
};

// Whether the person at the terminal says yes. Error(kBadOption) where there is no terminal,
// Error(kCancelled) where the answer is Ctrl-C.
bool Confirm(bool fits) {
  if (::isatty(STDIN_FILENO) == 0)
    Fail(ErrorKind::kBadOption,
         "there is no terminal on which to ask whether to begin; give --yes to begin without asking");
  fmt::print(stderr, "Begin{}? [y/N] ", fits ? "" : " although it does not fit");
  std::string answer;
  const bool answered = static_cast<bool>(std::getline(std::cin, answer));
  if (!answered) fmt::print(stderr, "\n");
  ThrowIfCancelled();
  for (char& c : answer) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (answer == "y" || answer == "yes") return true;
  fmt::print(stderr, "not begun: nothing was written\n");
  return false;
}

// An earlier run's recipe. Where nothing was done yet, what does not fit is refused as it was then.
std::optional<Recipe> Earlier(const Options& options) {
  auto earlier = options.job.EarlierRecipe();
  if (!earlier) return std::nullopt;
  if (!std::filesystem::exists(WorkFolder(*earlier)))
    RequireFit(PlanJob(*earlier, options.job.isa, Terminal()), earlier->file);
  fmt::print(stderr, "going on with {}\n", earlier->file.string());
  return earlier;
}

// Chooses, explains, plans and asks. Nothing where the answer is no.
std::optional<Recipe> ChosenRecipe(const Options& options) {
  if (auto earlier = Earlier(options)) return earlier;
  const Choice choice = ChooseRecipe(options.job.Request(), options.job.isa, Terminal());
  const JobPlan plan = PlanJob(choice.recipe, options.job.isa, Terminal());
  if (!options.json) {
    fmt::print("Chosen:\n");
    for (const std::string& reason : choice.reasons) fmt::print("  {}\n", reason);
    fmt::print("\n");
    PrintPlan(plan);
  }
  FlushOutput();  // hours may pass before more is printed
  if (!options.yes && !Confirm(plan.shortages.empty())) return std::nullopt;
  std::filesystem::create_directories(choice.recipe.file.parent_path());
  WriteRecipe(choice.recipe, choice.comments);
  fmt::print(stderr, "wrote {}; it can be edited, and 'longspan extend' then goes on with the new settings\n",
             choice.recipe.file.string());
  if (options.yes) RequireFit(plan, choice.recipe.file);  // nobody saw the plan
  return LoadRecipe(choice.recipe.file);
}

void RunExtend(Options& options) {
  std::optional<Recipe> recipe;
  if (options.job.WithoutRecipe()) {
    recipe = ChosenRecipe(options);
  } else {
    recipe = LoadRecipe(options.job.what.front());
    RequireRestFits(*recipe, Terminal());
  }
  if (!recipe) return;
  if (const auto unused = UnusedKeys(*recipe, kForExtend); !unused.empty()) {
    Terminal().Message(
        fmt::format("{}: not used by extend: {}", recipe->file.string(), fmt::join(unused, ", ")));
  }
  options.extend.isa = options.job.isa;
  const Measurements m = Extend(*recipe, options.extend, Terminal());
  if (options.json) {
    fmt::print("{}\n", ToJson(m).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  PrintTable(*recipe, m);
  if (!m.sample.text.empty())
    fmt::print("\nA sample of {}:\n{}{}\n", m.sample.file, m.sample.prompt, m.sample.text);
  fmt::print("\nThe release folder is {}\nIts card is        {}\n",
             recipe->release.out.lexically_normal().string(),
             (recipe->release.out / "README.md").lexically_normal().string());
}

}  // namespace

void AddExtend(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->extend.version = LONGSPAN_VERSION;
  CLI::App* command = app.add_subcommand("extend", "The whole job: stretch, merge, quantise, prove, release");
  options->job.AddTo(*command);
  command->add_flag("--yes", options->yes, "Begin without asking");
  command->add_flag(
      "--keep-foreign", options->extend.outputs.keep_foreign,
      "Go on beside files of the release folder that this job did not make; they are not touched");
  command->add_flag(
      "--force", options->extend.outputs.force,
      "Replace files of the release folder that are in the way, or were changed since they were written");
  command->add_flag("--json", options->json, "Print every measurement as JSON");
  command->footer(
      "Without a recipe, settings are chosen by the model, the documents and this machine, and written to "
      "recipe.yml in\n"
      "--out with the reasons. Where this machine lacks memory or disk for it, --yes does not begin: it says "
      "which keys\n"
      "would fit. Stages that are done and whose inputs have not changed are skipped; run the same command "
      "again to go on.\n\n"
      "Examples:\n  longspan extend recipes/demo.yml\n  longspan extend model.gguf books/ --to 65536");
  command->callback([options] { RunExtend(*options); });
}

}  // namespace longspan
