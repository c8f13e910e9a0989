// longspan extend: the whole job from a recipe.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "release/extend.h"

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
  fmt::print("\n{:>8}  {:^23}  {:^23}\n", "", "perplexity", "passkeys found");
  fmt::print("{:>8}  {:>11} {:>11}  {:>11} {:>11}\n", "tokens", "before", "after", "before", "after");
  for (const std::int64_t n : lengths) {
    fmt::print("{:>8}  {:>11} {:>11}  {:>11} {:>11}\n", n, perplexity(m.before, n), perplexity(m.after, n),
               Share(PasskeyShare(m.before.passkey, n)), Share(PasskeyShare(m.after.passkey, n)));
  }
  fmt::print("\n{:>8}  {:>9}  {:>5}  {:>10}  {:>9}\n", "type", "MB", "bits", "perplexity", "KLD");
  for (const QuantizationRow& row : m.quantization.rows) {
    fmt::print("{:>8}  {:>9.2f}  {:>5.2f}  {:>10.3f}  {:>9.6f}\n", row.name,
               static_cast<double>(row.bytes) / 1e6, row.bits_per_weight, row.perplexity, row.kld_mean);
  }
}

}  // namespace

void AddExtend(CLI::App& app) {
  struct Options {
    std::string recipe;
    ExtendOptions extend;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  options->extend.version = LONGSPAN_VERSION;
  CLI::App* command =
      app.add_subcommand("extend", "The whole job from a recipe: stretch, merge, quantise, prove, release");
  command->add_option("RECIPE", options->recipe, "YAML file; recipes/demo.yml explains every key")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--isa", options->extend.isa, "Instruction set: auto, amx, avx512, avx2, reference")
      ->capture_default_str();
  command->add_flag(
      "--keep-foreign", options->extend.outputs.keep_foreign,
      "Go on beside files of the release folder that this job did not make; they are not touched");
  command->add_flag(
      "--force", options->extend.outputs.force,
      "Replace files of the release folder that are in the way, or were changed since they were written");
  command->add_flag("--json", options->json, "Print every measurement as JSON");
  command->footer(
      "Stages that are done and whose inputs have not changed are skipped; run the same command again to go "
      "on.\n\n"
      "Example:\n  longspan extend recipes/demo.yml");
  command->callback([options] {
    const Recipe recipe = LoadRecipe(options->recipe);
    const Measurements m = Extend(recipe, options->extend, Terminal());
    if (options->json) {
      fmt::print("{}\n", ToJson(m).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
      return;
    }
    PrintTable(recipe, m);
    if (!m.sample.text.empty())
      fmt::print("\nA sample of {}:\n{}{}\n", m.sample.file, m.sample.prompt, m.sample.text);
    fmt::print("\nThe release folder is {}\nIts card is        {}\n",
               recipe.release.out.lexically_normal().string(),
               (recipe.release.out / "README.md").lexically_normal().string());
  });
}

}  // namespace longspan
