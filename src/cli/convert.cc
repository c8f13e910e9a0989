// longspan convert: a model from another program's files to GGUF.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/commands.h"
#include "formats/llama2c.h"

namespace longspan {
namespace {

struct ConvertOptions {
  std::string source;
  std::string destination;
  std::string tokenizer;
};

void RunConvert(const ConvertOptions& options) {
  const std::filesystem::path source = options.source;
  if (source.extension() != ".bin") {
    Fail(ErrorKind::kUnsupported, "{}: expected a llama2.c checkpoint (.bin)", options.source);
  }
  if (options.tokenizer.empty()) {
    Fail(ErrorKind::kBadOption, "{}: a llama2.c checkpoint has no tokenizer; name its file with --tokenizer",
         options.source);
  }
  ConvertLlama2c(source, options.tokenizer, options.destination);
  fmt::print("{}: {:.1f} MB\n", options.destination,
             static_cast<double>(std::filesystem::file_size(options.destination)) / 1e6);
}

}  // namespace

void AddConvert(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "Convert a model to GGUF");
  const auto options = std::make_shared<ConvertOptions>();
  command->add_option("source", options->source, "llama2.c checkpoint (.bin)")->required()->check(CLI::ExistingPath);
  command->add_option("destination", options->destination, "GGUF file to write")->required();
  command->add_option("--tokenizer", options->tokenizer, "llama2.c tokenizer (.bin)")->check(CLI::ExistingFile);
  command->footer("Example: longspan convert stories260K.bin stories260K.gguf --tokenizer tok512.bin");
  command->callback([options] { RunConvert(*options); });
}

}  // namespace longspan
