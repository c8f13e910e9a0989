// Whole files quantised alternately by longspan and by llama.cpp: weights per second from file to file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "base/testing/temporary_folder.h"
#include "bench/peers/llama_library.h"
#include "formats/gguf_reader.h"
#include "quantize/quantize.h"

namespace longspan::peers {
namespace {

struct Options {
  std::filesystem::path model;
  std::vector<std::string> mixes{"Q4_K_M"};
  int threads = 0;
  int rounds = 2;
};

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int Run(const Options& options) {
  if (options.threads > 0) SetThreads(options.threads);
  const auto library = LlamaLibrary::Require(LONGSPAN_SOURCE_DIR);
  double weights = 0;
  {
    const auto file = GgufFile::Open(options.model);
    for (const GgufTensor& tensor : file->tensors()) weights += static_cast<double>(tensor.elements());
  }
  const TestFolder folder;
  const auto ours = folder / "longspan.gguf", theirs = folder / "llama.gguf";
  fmt::print("{}, {:.0f} million weights; {} threads\n\n", options.model.filename().string(), weights / 1e6,
             Threads());
  fmt::print("| mix | million weights/s | llama.cpp's | ratio |\n|---|--:|--:|--:|\n");
  for (const std::string& name : options.mixes) {
    const Mix mix = FindMix(name);
    QuantizeOptions to;
    to.allow_no_imatrix = true;
    for (int round = 0; round < options.rounds; ++round) {
      const double a = Seconds([&] { QuantizeFile(options.model, ours, mix, to, NoProgress()); });
      const double b = Seconds([&] { library->QuantizeFile(options.model, theirs, mix.file_type); });
      std::filesystem::remove(ours);
      std::filesystem::remove(theirs);
      fmt::print("| {} | {:.1f} | {:.1f} | {:.1f} |\n", name, weights / a / 1e6, weights / b / 1e6, b / a);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace longspan::peers

int main(int argc, char** argv) {
  longspan::peers::Options options;
  CLI::App app(
      "Whole files quantised by longspan and by llama.cpp alternately, in a temporary folder below $TMPDIR");
  app.add_option("MODEL", options.model, "GGUF file in F16, BF16 or F32")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--mixes", options.mixes, "Mixes to make")->delimiter(',')->capture_default_str();
  app.add_option("--threads", options.threads, "Threads (default: one per processor)");
  app.add_option("--rounds", options.rounds, "Times that each makes it")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return longspan::peers::Run(options);
  } catch (const longspan::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return longspan::ExitCode(error.kind());
  }
}
