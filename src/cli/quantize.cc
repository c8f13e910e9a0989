// longspan quantize: a GGUF file with smaller weights.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/search_options.h"
#include "cli/terminal.h"
#include "formats/gguf_reader.h"
#include "quantize/quantize.h"

namespace longspan {
namespace {

struct Options {
  std::string in, out, mix;
  std::vector<std::string> rules;  // REGEX=TYPE
  std::string output_type, embedding_type;
  std::string imatrix;
  SearchOptions search;
  OutputOptions output;
  bool allow_requantize = false, allow_no_imatrix = false, clip = false, dry_run = false, json = false;
};

Type ParseType(const std::string& name, std::string_view option) {
  const std::optional<Type> type = TypeFromName(name);
  if (!type) Fail(ErrorKind::kBadOption, "{}: no element type is called {}", option, name);
  return *type;
}

TypeRule ParseRule(const std::string& rule) {
  const std::size_t equals = rule.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    Fail(ErrorKind::kBadOption, "--type: expected REGEX=TYPE, found {}", rule);
  }
  return {NamePattern(rule.substr(0, equals)), ParseType(rule.substr(equals + 1), "--type")};
}

// Error(kBadOption) for a rule that decides nothing, because its pattern is then a mistake.
void CheckRules(const Options& options, std::span<const TypeRule> rules) {
  if (rules.empty()) return;
  const auto file = GgufFile::Open(options.in);
  std::vector<bool> matches(rules.size()), decides(rules.size());
  for (const GgufTensor& tensor : file->tensors()) {
    bool decided = !IsFloat(tensor.type);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (!rules[i].pattern.Matches(tensor.name)) continue;
      matches[i] = true;
      decides[i] = decides[i] || !decided;
      decided = true;
    }
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!matches[i]) {
      Fail(ErrorKind::kBadOption,
           "--type {}: no tensor of {} has such a name; 'longspan inspect {} --tensors' lists them",
           options.rules[i], options.in, options.in);
    }
    if (!decides[i]) {
      Fail(ErrorKind::kBadOption,
           "--type {}: has no effect, because the first pattern that matches a tensor counts; put it before "
           "the others",
           options.rules[i]);
    }
  }
}

QuantizeOptions LibraryOptions(const Options& options) {
  QuantizeOptions library;
  for (const std::string& rule : options.rules) library.overrides.rules.push_back(ParseRule(rule));
  if (!options.output_type.empty()) {
    library.overrides.output_type = ParseType(options.output_type, "--output-type");
  }
  if (!options.embedding_type.empty()) {
    library.overrides.embedding_type = ParseType(options.embedding_type, "--embedding-type");
  }
  library.allow_requantize = options.allow_requantize;
  library.allow_no_imatrix = options.allow_no_imatrix;
  library.too_large = options.clip ? TooLarge::kClip : TooLarge::kRefuse;
  library.dry_run = options.dry_run;
  return library;
}

nlohmann::ordered_json ToJson(const QuantizeReport& report, bool dry_run) {
  nlohmann::ordered_json json;
  json["bytes_before"] = report.bytes_before;
  json["bytes_after"] = report.bytes_after;
  json["weights"] = report.elements;
  json["bits_per_weight"] = report.BitsPerWeight();
  for (const auto& [type, part] : report.types) {
    nlohmann::ordered_json& entry = json["types"][std::string(Traits(type).name)];
    entry["tensors"] = part.tensors;
    entry["weights"] = part.elements;
    entry["bytes"] = part.bytes;
    if (!dry_run) entry["relative_rms_error"] = part.RelativeError();
  }
  for (const TypeChoice& choice : report.choices) {
    json["tensors"][choice.name] = std::string(Traits(choice.type).name);
  }
  return json;
}

void PrintTable(const QuantizeReport& report, bool dry_run) {
  constexpr double kMiB = 1024.0 * 1024.0;
  if (dry_run) {
    for (const TypeChoice& choice : report.choices) {
      fmt::print("{:<40} {}\n", choice.name, Traits(choice.type).name);
    }
  }
  fmt::print("{:<6} {:>8} {:>14} {:>10}{}\n", "type", "tensors", "weights", "MiB",
             dry_run ? "" : "  RMS error");
  for (const auto& [type, part] : report.types) {
    fmt::print("{:<6} {:>8} {:>14} {:>10.2f}", Traits(type).name, part.tensors, part.elements,
               static_cast<double>(part.bytes) / kMiB);
    if (!dry_run) fmt::print(" {:>9.4f}%", 100 * part.RelativeError());
    fmt::print("\n");
  }
  fmt::print("{:.2f} MiB -> {:.2f} MiB, {:.3f} bits per weight\n",
             static_cast<double>(report.bytes_before) / kMiB, static_cast<double>(report.bytes_after) / kMiB,
             report.BitsPerWeight());
}

std::string MixNames() {
  std::string names;
  for (const Mix& mix : AllMixes()) names += (names.empty() ? "" : ", ") + std::string(mix.name);
  return names;
}

void CheckOutput(const Options& options) {
  if (options.dry_run) return;
  std::vector<std::filesystem::path> inputs{options.in, options.imatrix};
  inputs.insert(inputs.end(), options.search.texts.begin(), options.search.texts.end());
  options.output.Check(options.out, inputs);
}

void Run(const Options& options) {
  CheckOutput(options);
  QuantizeOptions library = LibraryOptions(options);
  CheckRules(options, library.overrides.rules);
  std::optional<ImportanceMatrix> importance;
  if (!options.imatrix.empty()) importance = ImportanceMatrix::Load(options.imatrix);
  library.importance = importance ? &*importance : nullptr;

  std::string mix = options.mix;
  std::optional<TypeSearchResult> search;
  if (options.search.wanted()) {
    if (!mix.empty())
      Fail(ErrorKind::kBadOption, "{}: a target size chooses the types; leave the mix out", mix);
    search = options.search.Search(options.in, library);
    mix = search->mix;
    for (const std::string& rule : search->rules) library.overrides.rules.push_back(ParseRule(rule));
    if (!options.json) PrintSearch(*search, options.rules);
  }
  if (mix.empty()) Fail(ErrorKind::kBadOption, "give TYPE, one of {}, or --target-size", MixNames());

  const QuantizeReport report = QuantizeFile(options.in, options.out, FindMix(mix), library, Terminal());
  if (!options.json) return PrintTable(report, options.dry_run);
  nlohmann::ordered_json json = ToJson(report, options.dry_run);
  if (search) json["search"] = ToJson(*search, options.rules);
  // Names come from a file and need not be UTF-8.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

void AddQuantize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("quantize", "Make a GGUF file with smaller weights");
  const auto options = std::make_shared<Options>();
  command->add_option("IN", options->in, "GGUF file to read")->required()->check(CLI::ExistingFile);
  command->add_option("OUT", options->out, "GGUF file to write")->required();
  command->add_option("TYPE", options->mix, "One of " + MixNames());
  command
      ->add_option(
          "--type", options->rules,
          "REGEX=TYPE: tensors with a matching name get this type; repeatable, the first match counts")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--output-type", options->output_type, "Type of the output matrix");
  command->add_option("--embedding-type", options->embedding_type, "Type of the token embedding");
  command->add_option("--imatrix", options->imatrix, "Importance matrix (longspan imatrix, llama-imatrix)")
      ->check(CLI::ExistingFile);
  options->search.AddTo(*command);
  options->output.AddTo(*command);
  command->add_flag("--allow-no-imatrix", options->allow_no_imatrix,
                    "Allow types that need an importance matrix without one");
  command->add_flag("--allow-requantize", options->allow_requantize,
                    "Accept weights that are quantised already");
  command->add_flag("--clip", options->clip,
                    "Replace values too large for a type by the largest that it holds");
  command->add_flag("--dry-run", options->dry_run, "Show types and sizes; write nothing");
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->footer(
      "Examples:\n  longspan quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M --type 'attn_v=Q8_0'\n"
      "  longspan quantize model-f16.gguf model-iq2_xs.gguf IQ2_XS --imatrix model.imatrix.gguf\n"
      "  longspan quantize model-f16.gguf model-3.6g.gguf --target-size 3.6GiB --calibration book.txt");
  command->callback([options] { Run(*options); });
}

}  // namespace longspan
