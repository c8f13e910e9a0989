// longspan prepare: corpora to token shards.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
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
  std::string tokenizer, out, part;
  PrepareOptions prepare;
  OutputOptions output;
  bool no_eos = false, json = false;
};

// "3/8" as share 2 of 8.
PrepareShare ShareOf(const std::string& text) {
  PrepareShare share;
  const char* const end = text.data() + text.size();
  const auto [slash, first] = std::from_chars(text.data(), end, share.index);
  if (first == std::errc() && slash != end && *slash == '/') {
    const auto [last, second] = std::from_chars(slash + 1, end, share.count);
    const bool good = second == std::errc() && last == end && share.index >= 1 && share.index <= share.count;
    --share.index;
    if (good) return share;
  }
  Fail(ErrorKind::kBadOption, "--part: expected a part and the number of parts, such as 3/8, found '{}'",
       text);
}

nlohmann::json ToJson(const SkippedParts& parts) {
  nlohmann::json first = nlohmann::json::array();
  for (const SkipNote& note : parts.named) first.push_back(note.Text());
  return {{"count", parts.count}, {"first", first}};
}

nlohmann::json ToJson(const DocumentFates& fates) {
  nlohmann::json json, tokens;
  const auto add = [&](const char* name, const DocumentCount& count) {
    json[name] = count.documents;
    tokens[name] = count.tokens;
  };
  json["documents"] = fates.found.documents;
  tokens["found"] = fates.found.tokens;
  add("kept", fates.kept);
  add("short", fates.too_short);
  add("long", fates.too_long);
  add("duplicates", fates.duplicates);
  add("near_duplicates", fates.near_duplicates);
  json["sliced"] = fates.sliced;
  tokens["cut_off"] = fates.tokens_cut_off;
  json["tokens"] = tokens;
  return json;
}

void Print(const nlohmann::json& json) {
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintJson(const PrepareReport& report, const std::string& out) {
  nlohmann::json json = ToJson(report.total);
  json["out"] = out;
  json["train"] = {{"pieces", report.train_pieces}, {"tokens", report.train_tokens}};
  json["validation"] = {{"pieces", report.validation_pieces}, {"tokens", report.validation_tokens}};
  json["subsets"] = nlohmann::json::array();
  for (const DocumentFates& fates : report.subsets) {
    nlohmann::json& subset = json["subsets"].emplace_back(ToJson(fates));
    subset["name"] = fates.subset;
  }
  json["skipped_lines"] = ToJson(report.skips.lines);
  json["skipped_documents"] = ToJson(report.skips.documents);
  json["skipped_files"] = ToJson(report.skips.files);
  json["other_files"] = ToJson(report.skips.others);
  Print(json);
}

void PrintSubsets(const std::vector<DocumentFates>& subsets) {
  std::size_t width = 6;
  for (const DocumentFates& fates : subsets) width = std::max(width, fates.subset.size());
  fmt::print("\n{:{}} {:>12} {:>12} {:>16} {:>12} {:>12} {:>12}\n", "subset", width, "documents", "kept",
             "tokens kept", "too short", "too long", "duplicates");
  for (const DocumentFates& fates : subsets) {
    fmt::print("{:{}} {:>12} {:>12} {:>16} {:>12} {:>12} {:>12}\n", fates.subset.empty() ? "-" : fates.subset,
               width, fates.found.documents, fates.kept.documents, fates.kept.tokens,
               fates.too_short.documents, fates.too_long.documents,
               fates.duplicates.documents + fates.near_duplicates.documents);
  }
  fmt::print("\n");
}

void PrintText(const PrepareReport& report, const Options& options) {
  const auto line = [](const char* name, const DocumentCount& count) {
    fmt::print("{:<17} {:>12} {:>16} tokens\n", name, count.documents, count.tokens);
  };
  const DocumentFates& total = report.total;
  line("documents", total.found);
  line("  kept", total.kept);
  line("  too short", total.too_short);
  line("  too long", total.too_long);
  line("  duplicates", total.duplicates);
  if (options.prepare.near_duplicates) line("  near duplicates", total.near_duplicates);
  if (total.sliced > 0) {
    fmt::print("{:<17} {:>12} {:>16} tokens lost with short ends\n", "sliced", total.sliced,
               total.tokens_cut_off);
  }
  if (report.skips.lost() > 0) fmt::print("{:<17} {}\n", "not used", report.skips.Summary());
  const bool one = report.subsets.size() == 1 && report.subsets.front().subset.empty();
  if (!one) PrintSubsets(report.subsets);
  fmt::print("{:<17} {:>12} {:>16} tokens, EOS included\n", "train pieces", report.train_pieces,
             report.train_tokens);
  fmt::print("{:<17} {:>12} {:>16}\n", "validation pieces", report.validation_pieces,
             report.validation_tokens);
  fmt::print("wrote {}\n", options.out);
}

void RunPart(const Options& options, const TextEncoder& encoder) {
  const ShareReport report =
      PreparePart(options.inputs, encoder, options.prepare, options.out, ShareOf(options.part), Terminal());
  if (options.json) {
    return Print({{"part", options.part},
                  {"work", report.work.string()},
                  {"parts", report.parts},
                  {"all_parts", report.all_parts},
                  {"missing", report.missing}});
  }
  fmt::print("part {}: its {} of {} parts are in {}\n", options.part, report.parts, report.all_parts,
             report.work.string());
  if (report.missing > 0)
    fmt::print("{} parts of other shares are not there yet\n", report.missing);
  else
    fmt::print("all parts are there; the same command without --part joins them\n");
}

void CheckOutputs(const Options& options) {
  const std::filesystem::path out = options.out, work = WorkFolderOf(out);
  std::vector<std::filesystem::path> inputs = options.inputs;
  inputs.push_back(options.tokenizer);
  for (const char* shard : {ShardSet::kTrain, ShardSet::kValidation, ShardSet::kNextValidation})
    CheckNotInput(out / shard, inputs);
  if (!options.output.force && ShardSet::Exists(out)) {
    Fail(ErrorKind::kBadOption, "{}: holds shards already; name another folder, or replace them with --force",
         options.out);
  }
  for (const char* shard : {ShardSet::kTrain, ShardSet::kNextValidation}) {
    CheckWritable(out / shard);
    if (!options.output.force) KeepIfItAppears(out / shard);
  }
  CheckWritable(work / ShardSet::kTrain);
}

void Run(Options& options) {
  if (options.out.empty()) Fail(ErrorKind::kBadOption, "--out: expected a folder, found an empty name");
  if (!options.part.empty()) ShareOf(options.part);
  CheckOutputs(options);
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(options.tokenizer)->metadata()));
  WarnAbout(tokenizer->vocabulary(), Terminal());
  options.prepare.append_eos = !options.no_eos;
  const TextEncoder encoder = EncoderOf(*tokenizer);
  if (!options.part.empty()) return RunPart(options, encoder);
  const PrepareReport report = Prepare(options.inputs, encoder, options.prepare, options.out, Terminal());
  Report(report.skips, Terminal());
  WarnOfBytesLeftOut(*tokenizer, Terminal());
  if (options.json)
    PrintJson(report, options.out);
  else
    PrintText(report, options);
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
  command
      ->add_option("--out", options->out,
                   "Folder for train.lsd and validation.lsd; OUT.work beside it is used meanwhile")
      ->required();
  command->add_option("--min-tokens", prepare.limits.min_tokens, "Leave out documents with fewer tokens")
      ->capture_default_str()
      ->check(kPositive);
  command
      ->add_option("--max-tokens", prepare.limits.max_tokens,
                   "Leave out documents with more tokens; 0: no limit")
      ->capture_default_str()
      ->check(kNotNegative);
  command->add_flag("--slice", prepare.limits.slice,
                    "Cut documents over --max-tokens into pieces instead of leaving them out");
  command->add_option("--text-field", prepare.corpus.text_field, "Field of a JSON line that holds the text")
      ->capture_default_str();
  command
      ->add_option("--validation", prepare.validation_share,
                   "Share of documents to keep for validation, chosen by their hashes")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.99));
  command->add_flag("--near-duplicates", prepare.near_duplicates,
                    "Leave out documents that share about 0.72 or more of their five-word shingles with an "
                    "earlier one (MinHash)");
  command->add_option("--part", options->part,
                      "Prepare only a share of the input, such as 3/8, for a job on several machines; the "
                      "same command without it then joins them");
  options->output.AddTo(*command);
  command->add_flag("--no-eos", options->no_eos, "Do not put the end-of-text token after a document");
  command->add_flag("--strict", prepare.corpus.strict,
                    "Stop at the first unusable line, document or file instead of skipping it");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Lengths are measured on whole documents, before any slicing. Of equal texts only the first is kept. "
      "Input that cannot be used is skipped and named; the shards then hold the rest, and the exit code is "
      "3. "
      "A run that was interrupted goes on where it stopped.\n\nExample:\n"
      "  longspan prepare books.jsonl.zst --tokenizer model.gguf --out data --min-tokens 6000 "
      "--max-tokens 8000");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
