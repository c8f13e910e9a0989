// longspan synth: a model file with random weights, for measuring.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "model/shapes.h"
#include "quantize/synthesize.h"

namespace longspan {
namespace {

struct Options {
  std::string shape, out, type = "Q4_K_M", vocabulary;
  std::int64_t layers = 0;  // 0: as the shape has
  std::uint64_t seed = 0;
  OutputOptions output;
  bool json = false;
};

void Print(const Options& options, const LlamaConfig& config, const SynthesizeReport& report,
           double seconds) {
  const double weights = static_cast<double>(report.weights), bytes = static_cast<double>(report.bytes);
  if (options.json) {
    const nlohmann::ordered_json json = {{"path", options.out},
                                         {"shape", options.shape},
                                         {"type", options.type},
                                         {"layers", config.layers},
                                         {"weights", report.weights},
                                         {"bytes", report.bytes},
                                         {"bits_per_weight", 8 * bytes / weights},
                                         {"seconds", seconds}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}: {:.1f}M weights, {:.1f} MB, {:.3f} bits per weight, in {:.1f} s\n", options.out,
               weights / 1e6, bytes / 1e6, 8 * bytes / weights, seconds);
  }
}

void Run(const Options& options) {
  options.output.Check(options.out, {options.vocabulary});
  LlamaConfig config = FindShape(options.shape);
  if (options.layers > 0) config.layers = options.layers;
  const SynthesizeOptions library{FindSynthesisTypes(options.type), options.vocabulary, options.seed};
  const auto start = std::chrono::steady_clock::now();
  const SynthesizeReport report = SynthesizeFile(options.out, config, library, Terminal());
  Print(options, config, report,
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

std::string ShapeNames() {
  std::string names;
  for (const LlamaConfig& shape : AllShapes()) names += (names.empty() ? "" : ", ") + shape.name;
  return names;
}

}  // namespace

void AddSynth(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("synth", "Make a model with random weights at a real model's shape, for measuring");
  const auto options = std::make_shared<Options>();
  command->add_option("SHAPE", options->shape, "One of " + ShapeNames())->required();
  command->add_option("OUT", options->out, "GGUF file to write")->required();
  command
      ->add_option("--type", options->type,
                   "A mix of quantize, or Q4_1, Q5_0, Q5_1, Q4_K, Q5_K for every matrix")
      ->capture_default_str();
  command->add_option("--layers", options->layers, "Layers (default: those of the shape)")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--vocab", options->vocabulary,
                   "GGUF file to take the vocabulary from (default: bytes and runs of letters)")
      ->check(CLI::ExistingFile);
  command->add_option("--seed", options->seed, "Seed of the random weights")
      ->capture_default_str()
      ->check(kNotNegative);
  options->output.AddTo(*command);
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->footer("Example:\n  longspan synth llama3-8b 4layers.gguf --layers 4 --type Q4_K_M");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
