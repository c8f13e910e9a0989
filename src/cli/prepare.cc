// longspan prepare: corpora to token shards.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/new_file.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "data/prepare.h"
#include "data/shard_set.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "text/warnings.h"

namespace longspan {
namespace {

struct Options {
  std::vector<std::filesystem::path> inputs;
  std::string tokenizer, out;
  PrepareOptions prepare;
  OutputOptions output;
  bool no_eos = false, json = false;
};

nlohmann::json ToJson(const SkippedParts& parts) {
  nlohmann::json first = nlohmann::json::array();
  for (const SkipNote& note : parts.named) first.push_back(note.Text());
  return {{"count", parts.count}, {"first", first}};
}

void PrintJson(const PrepareReport& report, const std::string& out) {
  const nlohmann::json json = {
      {"out", out},
      {"documents", report.documents},
      {"kept", report.kept},
      {"short", report.too_short},
      {"long", report.too_long},
      {"sliced", report.sliced},
      {"train", {{"pieces", report.train_pieces}, {"tokens", report.train_tokens}}},
      {"validation", {{"pieces", report.validation_pieces}, {"tokens", report.validation_tokens}}},
      {"skipped_lines", ToJson(report.skips.lines)},
      {"skipped_documents", ToJson(report.skips.documents)},
      {"skipped_files", ToJson(report.skips.files)},
      {"other_files", ToJson(report.skips.others)},
  };
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintText(const PrepareReport& report, const std::string& out) {
  fmt::print("documents   {:>12}\n", report.documents);
  fmt::print("  kept      {:>12}", report.kept);
  if (report.sliced > 0) fmt::print("   {} of them sliced", report.sliced);
  fmt::print("\n  too short {:>12}\n  too long  {:>12}\n", report.too_short, report.too_long);
  fmt::print("train       {:>12} tokens in {} pieces\n", report.train_tokens, report.train_pieces);
  fmt::print("validation  {:>12} tokens in {} pieces\n", report.validation_tokens, report.validation_pieces);
  if (report.skips.lost() > 0) fmt::print("not used    {:>12}\n", report.skips.Summary());
  fmt::print("wrote {}\n", out);
}

void Run(Options& options) {
  if (options.out.empty()) Fail(ErrorKind::kBadOption, "--out: expected a folder, found an empty name");
  std::vector<std::filesystem::path> inputs = options.inputs;
  inputs.push_back(options.tokenizer);
  for (const char* shard : {ShardSet::kTrain, ShardSet::kValidation, ShardSet::kNextValidation})
    CheckNotInput(std::filesystem::path(options.out) / shard, inputs);
  if (!options.output.force && ShardSet::Exists(options.out)) {
    Fail(ErrorKind::kBadOption, "{}: holds shards already; name another folder, or replace them with --force",
         options.out);
  }
  for (const char* shard : {ShardSet::kTrain, ShardSet::kNextValidation}) {
    const std::filesystem::path file = std::filesystem::path(options.out) / shard;
    CheckWritable(file);
    if (!options.output.force) KeepIfItAppears(file);
  }
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(options.tokenizer)->metadata()));
  WarnAbout(tokenizer->vocabulary(), Terminal());
  options.prepare.append_eos = !options.no_eos;
  const PrepareReport report =
      Prepare(options.inputs, EncoderOf(*tokenizer), options.prepare, options.out, Terminal());
  Report(report.skips, Terminal());
  WarnOfBytesLeftOut(*tokenizer, Terminal());
  if (options.json)
    PrintJson(report, options.out);
  else
    PrintText(report, options.out);
  if (report.skips.lost() > 0) {
    Fail(ErrorKind::kInvalidFile, "{}: complete but for {} of the input, which could not be used",
         options.out, report.skips.Summary());
  }
}

}  // namespace

void AddPrepare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  PrepareOptions& prepare = options->prepare;
  CLI::App* command = app.add_subcommand("prepare", "Filter and tokenise text into shards for training");
  command
      ->add_option("INPUT", options->inputs,
                   "Text files, JSON or JSON lines, zstd or gzip on top, or folders")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("--tokenizer", options->tokenizer, "GGUF file whose vocabulary to use")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--out", options->out, "Folder for train.lsd and validation.lsd")->required();
  command->add_option("--min-tokens", prepare.min_tokens, "Leave out documents with fewer tokens")
      ->capture_default_str()
      ->check(kPositive);
  command->add_option("--max-tokens", prepare.max_tokens, "Leave out documents with more tokens; 0: no limit")
      ->capture_default_str()
      ->check(kNotNegative);
  command->add_flag("--slice", prepare.slice,
                    "Cut documents over --max-tokens into pieces instead of leaving them out");
  command->add_option("--text-field", prepare.corpus.text_field, "Field of a JSON line that holds the text")
      ->capture_default_str();
  command->add_option("--validation", prepare.validation_share, "Share of documents to keep for validation")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.99));
  options->output.AddTo(*command);
  command->add_flag("--no-eos", options->no_eos, "Do not put the end-of-text token after a document");
  command->add_flag("--strict", prepare.corpus.strict,
                    "Stop at the first unusable line, document or file instead of skipping it");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Lengths are measured on whole documents, before any slicing. Input that cannot be used is skipped and "
      "named; the shards then hold the rest, and the exit code is 3.\n\nExample:\n"
      "  longspan prepare books.jsonl.zst --tokenizer model.gguf --out data --min-tokens 6000 "
      "--max-tokens 8000");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
