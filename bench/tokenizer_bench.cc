// How fast text becomes tokens, reading files apart: the encoder of a vocabulary on the documents of corpora,
// which are cut into tokens by all threads, a document at a time. bench/peers/tokenizers compares it with
// Hugging Face's.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "data/corpus.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using Ids = std::vector<std::int32_t>;

struct Options {
  std::string vocabulary, ids, huggingface;
  std::vector<std::string> corpora;
  std::vector<int> threads = {1, 2};
  int turns = 5;
  double megabytes = 0;
};

std::vector<std::string> Documents(const Options& options) {
  const std::vector<std::filesystem::path> corpora(options.corpora.begin(), options.corpora.end());
  Corpus corpus(corpora, CorpusOptions{.strict = true});
  std::vector<std::string> documents;
  double bytes = 0;
  while (options.megabytes == 0 || bytes < options.megabytes * 1e6) {
    auto document = corpus.Next();
    if (!document) break;
    bytes += static_cast<double>(document->text.size());
    documents.push_back(std::move(document->text));
  }
  return documents;
}

// All ids, the documents one after the other.
void WriteIds(const std::vector<Ids>& documents, const std::string& path) {
  std::string bytes;
  for (const Ids& ids : documents)
    bytes.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t));
  WriteFile(path, bytes);
}

void Run(const Options& options) {
  const auto file = GgufFile::Open(options.vocabulary);
  if (!options.huggingface.empty()) {
    std::filesystem::create_directories(options.huggingface);
    WriteHfTokenizer(file->metadata(), options.huggingface);
  }
  if (options.corpora.empty()) return;
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(file->metadata()));
  const std::vector<std::string> documents = Documents(options);
  double bytes = 0;
  for (const std::string& document : documents) bytes += static_cast<double>(document.size());
  fmt::print("{} documents of {:.1f} MB\n", documents.size(), bytes / 1e6);
  std::vector<Ids> ids(documents.size());
  for (const int threads : options.threads) {
    SetThreads(threads);
    std::vector<double> rates, processor_rates;  // the latter tell more where others share the machine
    for (int turn = 0; turn < options.turns; ++turn) {
      std::fill(ids.begin(), ids.end(), Ids());
      const std::clock_t processor_start = std::clock();
      const auto start = std::chrono::steady_clock::now();
      ParallelFor(std::ssize(documents), [&](std::int64_t i) { ids[i] = tokenizer->Encode(documents[i]); });
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      rates.push_back(bytes / 1e6 / time.count());
      const double processor_time = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
      processor_rates.push_back(bytes / 1e6 / processor_time);
    }
    fmt::print("{} threads, MB/s: {:.1f}\n", threads, fmt::join(rates, " "));
    fmt::print("{} threads, MB in a second of a processor: {:.1f}\n", threads,
               fmt::join(processor_rates, " "));
  }
  if (!options.ids.empty()) WriteIds(ids, options.ids);
}

int Main(int argc, char** argv) {
  CLI::App app("How fast text becomes tokens");
  Options options;
  app.add_option("VOCABULARY", options.vocabulary, "GGUF file with a vocabulary")->required();
  app.add_option("CORPUS", options.corpora, "Texts: JSON lines, JSON, plain text or folders");
  app.add_option("--threads", options.threads, "Numbers of threads, one after the other")->delimiter(',');
  app.add_option("--turns", options.turns, "How often each is timed");
  app.add_option("--megabytes", options.megabytes, "Of text, about; 0 is all");
  app.add_option("--ids", options.ids, "Write all ids here, 4 bytes each");
  app.add_option("--write-huggingface", options.huggingface, "Write the vocabulary as tokenizer.json here");
  CLI11_PARSE(app, argc, argv);
  Run(options);
  return 0;
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  try {
    return longspan::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tokenizer_bench: {}\n", error.what());
    return 1;
  }
}
