// longspan convert: models and adapters between the formats of different programs.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/commands.h"
#include "formats/llama2c.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"

namespace longspan {
namespace {

struct ConvertOptions {
  std::string source;
  std::string destination;
  std::string tokenizer;
  std::string base;
};

void ConvertModel(const ConvertOptions& options) {
  if (options.tokenizer.empty()) {
    Fail(ErrorKind::kBadOption, "{}: a llama2.c checkpoint has no tokenizer; name its file with --tokenizer",
         options.source);
  }
  ConvertLlama2c(options.source, options.tokenizer, options.destination);
}

// Adapters do not say how many heads their model has, which the order of their rows depends on.
LlamaConfig BaseConfig(const ConvertOptions& options) {
  if (options.base.empty()) {
    Fail(ErrorKind::kBadOption, "{}: to convert an adapter, name its base model's GGUF file with --base",
         options.source);
  }
  return ReadLlamaConfig(*GgufFile::Open(options.base));
}

void RunConvert(const ConvertOptions& options) {
  const std::filesystem::path source = options.source;
  if (std::filesystem::is_directory(source)) {
    const LlamaConfig config = BaseConfig(options);
    WriteGgufAdapter(options.destination, ReadPeft(source, config), config.architecture);
  } else if (source.extension() == ".gguf") {
    const LlamaConfig config = BaseConfig(options);
    WritePeft(options.destination, ReadGgufAdapter(source, config), config);
  } else if (source.extension() == ".bin") {
    ConvertModel(options);
  } else {
    Fail(ErrorKind::kUnsupported,
         "{}: expected a llama2.c checkpoint (.bin), a PEFT adapter's folder or a GGUF adapter (.gguf)",
         options.source);
  }
  fmt::print("{}\n", options.destination);
}

}  // namespace

void AddConvert(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("convert", "Convert a model to GGUF, or an adapter between PEFT and GGUF");
  const auto options = std::make_shared<ConvertOptions>();
  command->add_option("source", options->source, "llama2.c checkpoint (.bin), PEFT folder or GGUF adapter")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("destination", options->destination, "GGUF file, or PEFT folder, to write")->required();
  command->add_option("--tokenizer", options->tokenizer, "llama2.c: tokenizer (.bin)")
      ->check(CLI::ExistingFile);
  command->add_option("--base", options->base, "Adapters: the base model (.gguf)")->check(CLI::ExistingFile);
  command->footer(
      "Examples: longspan convert stories260K.bin stories260K.gguf --tokenizer tok512.bin\n"
      "          longspan convert adapter/ adapter.gguf --base model.gguf");
  command->callback([options] { RunConvert(*options); });
}

}  // namespace longspan
