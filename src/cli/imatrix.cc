// longspan imatrix: how strongly a text drives each input of a model's weights.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/new_file.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "eval/calibration.h"

namespace longspan {
namespace {

struct Options {
  ModelOptions model;
  std::vector<std::string> texts;
  CollectOptions collect;
  std::string out;
  OutputOptions output;
  std::int64_t chunk_tokens = 512;
  bool resume = false, json = false;
};

// The matrix that an earlier run with the same model and text left, if one is asked for and exists.
ImportanceMatrix Begin(const Options& options, std::uint64_t fingerprint) {
  if (options.resume && std::filesystem::exists(options.out)) {
    ImportanceMatrix matrix = ImportanceMatrix::Load(options.out);
    if (matrix.fingerprint == fingerprint) return matrix;
    Fail(ErrorKind::kBadOption, "{}: made from another model or text, or by another program; cannot resume",
         options.out);
  }
  ImportanceMatrix matrix;
  matrix.datasets = options.texts;
  matrix.chunk_tokens = options.chunk_tokens;
  matrix.fingerprint = fingerprint;
  return matrix;
}

void CheckOutput(const Options& options) {
  std::vector<std::filesystem::path> inputs = options.model.Inputs();
  inputs.insert(inputs.end(), options.texts.begin(), options.texts.end());
  // What a run that goes on finds is what it replaces.
  if (!options.resume || !std::filesystem::exists(options.out))
    return options.output.Check(options.out, inputs);
  CheckNotInput(options.out, inputs);
  CheckWritable(options.out);
}

void Run(Options& options) {
  CheckOutput(options);
  const LoadedModel model = options.model.Load();
  const auto documents = ReadDocuments(options.texts, 0, model);
  const auto chunks = CalibrationChunks(documents, model.bos(), options.chunk_tokens);
  ImportanceMatrix matrix = Begin(options, CalibrationFingerprint(model.transformer(), chunks));
  options.collect.out = options.out;
  CollectImportance(model.transformer(), chunks, options.collect, matrix, Terminal());
  if (options.json) {
    const nlohmann::ordered_json json{{"file", options.out},
                                      {"chunks", matrix.chunks},
                                      {"chunk_tokens", matrix.chunk_tokens},
                                      {"entries", matrix.entries().size()}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  fmt::print("{}: {} weights, {} chunks of {} tokens\n", options.out, matrix.entries().size(), matrix.chunks,
             matrix.chunk_tokens);
}

}  // namespace

void AddImatrix(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "imatrix", "Measure how strongly a text drives each column of each weight, for better quantising");
  const auto options = std::make_shared<Options>();
  options->model.AddTo(*command);
  command->add_option("TEXT", options->texts, std::string("Texts: ") + kTextFiles)
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("-o,--out", options->out, "GGUF file to write")->required();
  command->add_option("--chunks", options->collect.max_chunks, "Read at most so many chunks; 0: all")
      ->check(kNotNegative);
  command->add_option("--chunk-tokens", options->chunk_tokens, "Tokens of a chunk, BOS included")
      ->capture_default_str()
      ->check(kPositive);
  command
      ->add_option("--save-every", options->collect.save_every,
                   "Save after so many chunks; 0: at the end only")
      ->capture_default_str()
      ->check(kNotNegative);
  options->output.AddTo(*command);
  command->get_option("--force")->description(
      "Replace the output file if it exists; never an input. It is replaced at the first save, by what has "
      "been measured until then");
  command->add_flag("--resume", options->resume, "Go on from what OUT holds already; same model and text")
      ->excludes("--force");
  command->add_flag("--process-output", options->collect.output,
                    "Include the output matrix, unless it is tied (mostly better without)");
  command->add_flag("--json", options->json, "Print the result as JSON");
  command->footer(
      "Ctrl-C saves what there is.\n\nExample:\n  longspan imatrix model-f16.gguf book.txt -o "
      "model.imatrix.gguf\n"
      "  longspan quantize model-f16.gguf model-iq2_xs.gguf IQ2_XS --imatrix model.imatrix.gguf");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
