// longspan eval positions: loss by how much text stands before a token.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "eval/position_loss.h"

namespace longspan {
namespace {

constexpr std::int64_t kFirstBound = 256;

struct PositionsOptions {
  ModelOptions model;
  std::vector<std::string> files;
  PositionLossOptions positions;
  std::int64_t context = 0;
  bool json = false;
};

void PrintJson(const PositionsOptions& options, const LoadedModel& model, const PositionLossResult& result) {
  nlohmann::ordered_json json{{"model", options.model.path},
                              {"files", options.files},
                              {"sparse_prefill", SparseJson(options.model, model)},
                              {"documents", result.documents},
                              {"seconds", result.seconds},
                              {"results", nlohmann::ordered_json::array()}};
  for (const PositionLoss& loss : result.buckets) {
    json["results"].push_back({{"begin", loss.begin},
                               {"end", loss.end},
                               {"tokens", loss.tokens},
                               {"nll", loss.nll},
                               {"perplexity", loss.perplexity},
                               {"standard_error", loss.standard_error}});
  }
  // Paths come from the user and need not be UTF-8.
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void PrintTable(const PositionsOptions& options, const PositionLossResult& result) {
  fmt::print("{} on {} documents, one pass over each\n", options.model.path, result.documents);
  fmt::print("{:>10} {:>10} {:>10} {:>11} {:>9}\n", "from", "to", "tokens", "perplexity", "+-");
  for (const PositionLoss& loss : result.buckets) {
    fmt::print("{:>10} {:>10} {:>10} {:>11.4f} {:>9.4f}\n", loss.begin, loss.end - 1, loss.tokens,
               loss.perplexity, loss.standard_error);
  }
}

void RunPositions(PositionsOptions& options) {
  const LoadedModel model = options.model.Load();
  if (options.positions.bounds.empty()) {
    const std::int64_t context = options.context > 0 ? options.context : model.config().context;
    options.positions.bounds = DoublingBounds(std::min(kFirstBound, context), context);
  }
  options.positions.Validate();
  const std::vector<TokenDocument> documents = ReadDocuments(options.files, 0, model);
  TransformerSequence sequence(model.transformer(), options.model.CacheType(model.config()));
  const PositionLossResult result =
      MeasurePositionLoss(sequence, documents, model.bos(), options.positions, Terminal());
  ReportSparse(options.model, model);
  options.json ? PrintJson(options, model, result) : PrintTable(options, result);
}

}  // namespace

void AddEvalPositions(CLI::App& eval) {
  const auto options = std::make_shared<PositionsOptions>();
  CLI::App* command =
      eval.add_subcommand("positions", "Perplexity by position, one pass over each long document");
  options->model.AddTo(*command);
  options->model.AddSparseTo(*command);
  command->add_option("--file", options->files, std::string("Text: ") + kTextFiles)
      ->required()
      ->check(CLI::ExistingPath);
  auto* context =
      command
          ->add_option("--context", options->context,
                       "Tokens to read of each document, BOS included (default: the model's window)")
          ->check(kPositive);
  command
      ->add_option("--bounds", options->positions.bounds,
                   "Where buckets of positions end (default: 256, doubling up to the context)")
      ->delimiter(',')
      ->check(kPositive)
      ->excludes(context);
  command->add_option("--documents", options->positions.documents, "Read at most so many documents; 0: all")
      ->check(kNotNegative);
  command->add_flag("--json", options->json, "Print JSON");
  command->footer(
      "Example:\n  longspan eval positions model.gguf --file books.jsonl --context 65536 --documents 4");
  command->callback([options] { RunPositions(*options); });
}

}  // namespace longspan
