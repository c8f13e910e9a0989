// longspan convert: models and adapters between the formats of different programs.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "convert/convert.h"
#include "formats/json_object.h"

namespace longspan {
namespace {

struct Options {
  std::filesystem::path source, destination;
  ConvertOptions library;
  OutputOptions output;
  bool clip = false, json = false;
};

void Run(Options& options) {
  options.library.too_large = options.clip ? TooLarge::kClip : TooLarge::kRefuse;
  // Folders are never replaced: they must be new or empty.
  if (!WritesFolder(FindConversion(options.source, options.destination, options.library))) {
    options.output.Check(options.destination,
                         {options.source, options.library.tokenizer, options.library.base});
  }
  const ConvertSummary summary = Convert(options.source, options.destination, options.library, Terminal());
  if (!options.json) {
    for (const std::filesystem::path& file : summary.files) fmt::print("{}\n", file.string());
    return;
  }
  nlohmann::ordered_json json{{"conversion", Name(summary.conversion)},
                              {"files", nlohmann::ordered_json::array()}};
  for (const std::filesystem::path& file : summary.files) json["files"].push_back(file.string());
  if (summary.tensors > 0) {
    json["tensors"] = summary.tensors;
    json["bytes"] = summary.bytes;
  }
  fmt::print("{}", JsonText(json));
}

}  // namespace

void AddConvert(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "convert", "Convert models and adapters between Hugging Face and GGUF; split and join GGUF files");
  const auto options = std::make_shared<Options>();
  ConvertOptions& library = options->library;
  command
      ->add_option(
          "SOURCE", options->source,
          "Hugging Face folder of a model or of a PEFT adapter, GGUF file, or llama2.c checkpoint (.bin)")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("DESTINATION", options->destination, "GGUF file, or folder, to write")->required();
  command->add_option(
      "--type", library.type,
      "Type of the weights: F32, F16, BF16, to GGUF also Q8_0 and the other types of quantize "
      "(default: as they are)");
  command->add_option("--shard-size", library.shard_bytes, "Largest safetensors file (default: 5GB)")
      ->transform(CLI::AsSizeValue(true))
      ->check(kPositive);
  command
      ->add_option("--split-size", library.split_bytes, "Split a GGUF file into shards of at most this size")
      ->transform(CLI::AsSizeValue(true))
      ->check(kPositive);
  command->add_option("--base", library.base, "Base model of an adapter (.gguf, or a Hugging Face folder)")
      ->check(CLI::ExistingPath);
  command->add_option("--tokenizer", library.tokenizer, "llama2.c: tokenizer (.bin)")
      ->check(CLI::ExistingFile);
  options->output.AddTo(*command);
  command->add_flag("--clip", options->clip,
                    "Replace values too large for --type by the largest that it holds");
  command->add_flag("--json", options->json, "Print what was written as JSON");
  command->footer(
      "The conversion follows from what SOURCE is and whether DESTINATION ends in .gguf.\n"
      "A folder to write must be new or empty.\n\n"
      "Examples:\n"
      "  longspan convert Llama-3.1-8B/ llama-3.1-8b.gguf\n"
      "  longspan convert model-q4_k_m.gguf folder/ --type BF16\n"
      "  longspan convert adapter/ adapter.gguf --base model.gguf\n"
      "  longspan convert model.gguf shards/ --split-size 2GB\n"
      "  longspan convert shards/model-00001-of-00003.gguf model.gguf\n"
      "  longspan convert stories260K.bin stories260K.gguf --tokenizer tok512.bin");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
