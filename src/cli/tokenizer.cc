// longspan tokenizer train: a vocabulary for a model of one's own.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "data/corpus.h"
#include "formats/gguf_writer.h"
#include "text/bpe_trainer.h"
#include "text/gguf_vocabulary.h"

namespace longspan {
namespace {

struct Options {
  std::string output;
  std::vector<std::string> inputs;
  OutputOptions out;
  TrainBpeOptions train;
  CorpusOptions corpus;
  std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max();
  bool json = false;
};

// Reads texts until there are enough; the last one may be cut, at the start of a character.
CorpusSkips AddTexts(const Options& options, BpeTrainer& trainer) {
  const std::vector<std::filesystem::path> inputs(options.inputs.begin(), options.inputs.end());
  Corpus corpus(inputs, options.corpus);
  Progress& progress = Terminal();
  progress.Start("read", static_cast<std::int64_t>(corpus.total_bytes()), "bytes");
  while (trainer.bytes() < options.max_bytes) {
    const std::optional<Document> document = corpus.Next();
    if (!document) break;
    std::size_t size = std::min<std::uint64_t>(document->text.size(), options.max_bytes - trainer.bytes());
    while (size > 0 && size < document->text.size() && (document->text[size] & 0xC0) == 0x80) --size;
    trainer.Add(std::string_view(document->text).substr(0, size));
    progress.Update(static_cast<std::int64_t>(corpus.read_bytes()));
    if (size < document->text.size()) break;
  }
  progress.Finish();
  return corpus.skips();
}

void Save(const Vocabulary& vocabulary, const std::string& path) {
  GgufMetadata metadata;
  metadata.Set("general.architecture", "llama");
  metadata.Set("general.name", "vocabulary");
  WriteVocabulary(vocabulary, metadata);
  GgufWriter(path, std::move(metadata)).Commit();
}

void Train(const Options& options) {
  options.out.Check(options.output, {options.inputs.begin(), options.inputs.end()});
  BpeTrainer trainer;
  const CorpusSkips skips = AddTexts(options, trainer);
  Report(skips, Terminal());
  if (trainer.bytes() == 0)
    Fail(ErrorKind::kBadOption, "there is no text in the inputs to train a vocabulary on");
  const Vocabulary vocabulary = trainer.Train(options.train, Terminal());
  Save(vocabulary, options.output);
  if (options.json) {
    const nlohmann::json json = {{"path", options.output},
                                 {"tokens", vocabulary.tokens.size()},
                                 {"merges", vocabulary.merges.size()},
                                 {"words", trainer.words()},
                                 {"bytes", trainer.bytes()}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{}: {} tokens, {} merges, from {} different words in {} bytes of text\n", options.output,
               vocabulary.tokens.size(), vocabulary.merges.size(), trainer.words(), trainer.bytes());
  }
}

}  // namespace

void AddTokenizer(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenizer", "Make vocabularies");
  command->require_subcommand(1);
  CLI::App* train =
      command->add_subcommand("train", "Train a byte-level BPE vocabulary, Llama 3's kind, on text");
  train->add_option("OUT", options->output, "GGUF file to write: a vocabulary without a model")->required();
  train
      ->add_option("INPUT", options->inputs,
                   "Text files, JSON or JSON lines, zstd or gzip on top, or folders")
      ->required()
      ->check(CLI::ExistingPath);
  train
      ->add_option("--vocab-size", options->train.vocab_size,
                   "Tokens: bytes, merges and special ones together")
      ->capture_default_str()
      ->check(CLI::Range(258, 1 << 24));
  train->add_option("--min-frequency", options->train.min_frequency, "Do not merge pairs that are rarer")
      ->capture_default_str()
      ->check(kPositive);
  train->add_option("--max-token-bytes", options->train.max_token_bytes, "Do not make longer tokens")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 16));
  train->add_option("--max-bytes", options->max_bytes, "Stop reading after so much text, such as 200MB")
      ->transform(CLI::AsSizeValue(false));
  train->add_option("--text-field", options->corpus.text_field, "Field of a JSON line that holds the text")
      ->capture_default_str();
  options->out.AddTo(*train);
  train->add_flag("--strict", options->corpus.strict, "Stop at the first unusable line or file");
  train->add_flag("--json", options->json, "Print one JSON object");
  train->footer("Example:\n  longspan tokenizer train vocab.gguf corpus/*.jsonl.zst --vocab-size 4096");
  train->callback([options] { Train(*options); });
}

}  // namespace longspan
