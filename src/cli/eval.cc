// longspan eval: perplexity, divergence from a reference, passkey retrieval.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/naming_file.h"
#include "base/parallel.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/outputs.h"
#include "cli/terminal.h"
#include "cli/texts.h"
#include "eval/kld.h"
#include "eval/logits_file.h"
#include "eval/passkey.h"
#include "eval/perplexity.h"

namespace longspan {
namespace {

using Json = nlohmann::ordered_json;

// The texts to measure on.
struct TextOptions {
  std::vector<std::string> files;
  std::int64_t max_documents = 0;

  void AddTo(CLI::App& command) {
    command.add_option("--file", files, std::string("Text: ") + kTextFiles)
        ->required()
        ->check(CLI::ExistingPath);
    command.add_option("--max-documents", max_documents, "Read at most so many documents; 0: all")
        ->check(kNotNegative);
  }
  std::string Names() const { return fmt::format("{}", fmt::join(files, ", ")); }
};

std::vector<TokenDocument> ReadDocuments(const TextOptions& options, const LoadedModel& model) {
  return ReadDocuments(options.files, options.max_documents, model);
}

void Print(const Json& json) {
  fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

struct PplOptions {
  ModelOptions model;
  TextOptions text;
  PerplexityOptions perplexity{.contexts = {}};
  bool all_tokens = false, halves = false, json = false;
};

std::string Describe(PerplexityMethod method, const PerplexityOptions& options) {
  switch (method) {
    case PerplexityMethod::kSliding: return fmt::format("sliding windows, stride {}", options.Stride());
    case PerplexityMethod::kSameTokens:
      return fmt::format("sliding windows, stride {}, the same tokens scored at every context",
                         options.Stride());
    case PerplexityMethod::kHalves: return "disjoint windows, second half scored, as llama.cpp does";
  }
  return "";
}

void RunPpl(PplOptions& options) {
  const LoadedModel model = options.model.Load();
  PerplexityOptions& perplexity = options.perplexity;
  if (perplexity.contexts.empty()) perplexity.contexts = {model.config().context};
  if (options.halves) perplexity.method = PerplexityMethod::kHalves;
  if (options.all_tokens) perplexity.method = PerplexityMethod::kSliding;
  perplexity.Validate();
  const std::vector<TokenDocument> documents = ReadDocuments(options.text, model);
  TransformerSequence sequence(model.transformer(), options.model.CacheType(model.config()));
  const auto results = MeasurePerplexity(sequence, documents, model.bos(), perplexity, Terminal());
  ReportSparse(options.model, model);

  if (options.json) {
    Json json{{"model", options.model.path},
              {"files", options.text.files},
              {"sparse_prefill", SparseJson(options.model, model)},
              {"method", Name(perplexity.Method())},
              {"stride", perplexity.Stride()},
              {"results", Json::array()}};
    for (const PerplexityResult& r : results) {
      json["results"].push_back({{"context", r.context},
                                 {"documents", r.documents},
                                 {"windows", r.windows},
                                 {"tokens", r.tokens},
                                 {"nll", r.nll},
                                 {"perplexity", r.perplexity},
                                 {"standard_error", r.standard_error},
                                 {"window_perplexity", r.window_perplexity},
                                 {"seconds", r.seconds},
                                 {"tokens_per_second", r.tokens_per_second}});
    }
    return Print(json);
  }
  fmt::print("{} on {} ({} documents): {}\n", options.model.path, options.text.Names(), documents.size(),
             Describe(perplexity.Method(), perplexity));
  fmt::print("{:>9} {:>9} {:>9} {:>11} {:>11} {:>9} {:>11} {:>9}\n", "context", "documents", "windows",
             "tokens", "perplexity", "+-", "by window", "tokens/s");
  for (const PerplexityResult& r : results) {
    fmt::print("{:>9} {:>9} {:>9} {:>11} {:>11.4f} {:>9.4f} {:>11.4f} {:>9.0f}\n", r.context, r.documents,
               r.windows, r.tokens, r.perplexity, r.standard_error, r.window_perplexity, r.tokens_per_second);
  }
}

void AddPpl(CLI::App& eval) {
  auto options = std::make_shared<PplOptions>();
  PerplexityOptions& perplexity = options->perplexity;
  CLI::App* ppl = eval.add_subcommand("ppl", "Perplexity at one or several context lengths");
  options->model.AddTo(*ppl);
  options->model.AddSparseTo(*ppl);
  options->text.AddTo(*ppl);
  ppl->add_option("--context", perplexity.contexts,
                  "Context lengths, BOS included (default: the model's window)")
      ->delimiter(',')
      ->check(kPositive);
  ppl->add_option("--stride", perplexity.stride,
                  "Tokens by which a window moves (default: 256, or half the shortest context)")
      ->check(kPositive);
  ppl->add_option("--max-tokens", perplexity.max_tokens,
                  "Score at most so many tokens at each context; 0: all")
      ->check(kNotNegative);
  auto* halves = ppl->add_flag("--llama-cpp-way", options->halves, "Disjoint windows, second half scored");
  ppl->add_flag("--all-tokens", options->all_tokens,
                "Score every token at each context, rather than those that all contexts can score")
      ->excludes(halves);
  ppl->add_flag("--json", options->json, "Print JSON");
  ppl->footer(
      "Example:\n  longspan eval ppl model.gguf --file book.txt --context 512,1024,2048,4096 --stride 256");
  ppl->callback([options] { RunPpl(*options); });
}

struct KldCommand {
  ModelOptions model;
  std::string reference, logits, save;  // one of them
  TextOptions text;
  KldOptions kld;
  OutputOptions output;
  bool json = false;
};

void RunSaveLogits(const KldCommand& options, const LoadedModel& model, Sequence& sequence) {
  const std::vector<TokenDocument> documents = ReadDocuments(options.text, model);
  const SavedLogits saved =
      SaveLogits(sequence, documents, model.bos(), options.kld, options.save, Terminal());
  if (options.json) {
    return Print({{"model", options.model.path},
                  {"logits", options.save},
                  {"files", options.text.files},
                  {"context", options.kld.context},
                  {"chunk", options.kld.chunk},
                  {"chunks", saved.chunks},
                  {"tokens", saved.tokens},
                  {"perplexity", saved.perplexity}});
  }
  fmt::print("{}: {} tokens in {} windows of {}, perplexity {:.4f}\n", options.save, saved.tokens,
             saved.chunks, options.kld.context, saved.perplexity);
}

KldResult MeasureKld(KldCommand& options, const LoadedModel& model, Sequence& sequence) {
  if (!options.logits.empty()) {
    const LogitsFile file(options.logits);
    options.kld.context = file.shape().context;
    return MeasureKld(sequence, file, model.bos(), options.kld, Terminal());
  }
  const LoadedModel reference(options.reference, options.model.rope, options.model.isa);
  TransformerSequence reference_sequence(reference.transformer());
  return MeasureKld(sequence, reference_sequence, ReadDocuments(options.text, reference), reference.bos(),
                    options.kld, Terminal());
}

void PrintKld(const KldCommand& options, const LoadedModel& model, const KldResult& r) {
  const bool saved = !options.logits.empty();
  const std::string& reference = saved ? options.logits : options.reference;
  if (options.json) {
    return Print({{"model", options.model.path},
                  {"reference", reference},
                  {"sparse_prefill", SparseJson(options.model, model)},
                  {"files", options.text.files},
                  {"context", options.kld.context},
                  {"chunk", options.kld.chunk},
                  {"tokens", r.tokens},
                  {"mean", r.mean},
                  {"standard_error", r.standard_error},
                  {"min", r.min},
                  {"median", r.median},
                  {"p90", r.p90},
                  {"p95", r.p95},
                  {"p99", r.p99},
                  {"p999", r.p999},
                  {"max", r.max},
                  {"same_top", r.same_top},
                  {"same_top_error", r.same_top_error},
                  {"mean_delta_p", r.mean_delta_p.value},
                  {"mean_delta_p_error", r.mean_delta_p.error},
                  {"rms_delta_p", r.rms_delta_p},
                  {"rms_delta_p_error", r.rms_delta_p_error},
                  {"perplexity", r.perplexity},
                  {"reference_perplexity", r.reference_perplexity},
                  {"log_perplexity_ratio", r.log_perplexity_ratio.value},
                  {"log_perplexity_ratio_error", r.log_perplexity_ratio.error},
                  {"seconds", r.seconds}});
  }
  fmt::print("{} against {}{}: {} tokens, windows of {}\n", options.model.path, reference,
             saved ? "" : " on " + options.text.Names(), r.tokens, options.kld.context);
  fmt::print("KL divergence   mean {:.6f} +- {:.6f}  median {:.6f}\n", r.mean, r.standard_error, r.median);
  fmt::print("                90% {:.6f}  95% {:.6f}  99% {:.6f}  99.9% {:.6f}  max {:.4f}\n", r.p90, r.p95,
             r.p99, r.p999, r.max);
  fmt::print("same top token  {:.2f}% +- {:.2f}%\n", 100 * r.same_top, 100 * r.same_top_error);
  fmt::print(
      "change of p     mean {:+.3f}% +- {:.3f}%, root mean square {:.3f}% +- {:.3f}% (of the true token)\n",
      100 * r.mean_delta_p.value, 100 * r.mean_delta_p.error, 100 * r.rms_delta_p, 100 * r.rms_delta_p_error);
  fmt::print("perplexity      {:.4f}, reference {:.4f}, ln of the ratio {:+.5f} +- {:.5f}\n", r.perplexity,
             r.reference_perplexity, r.log_perplexity_ratio.value, r.log_perplexity_ratio.error);
}

void RunKld(KldCommand& options) {
  const bool needs_text = options.logits.empty();
  if (options.reference.empty() && needs_text && options.save.empty())
    Fail(ErrorKind::kBadOption, "give one of --reference, --logits, --save-logits");
  if (needs_text && options.text.files.empty())
    Fail(ErrorKind::kBadOption, "--file is required without --logits");
  if (!options.save.empty()) {
    std::vector<std::filesystem::path> inputs = options.model.Inputs();
    inputs.insert(inputs.end(), options.text.files.begin(), options.text.files.end());
    options.output.Check(options.save, inputs);
  }
  const LoadedModel model = options.model.Load();
  TransformerSequence sequence(model.transformer(), options.model.CacheType(model.config()));
  if (!options.save.empty()) return RunSaveLogits(options, model, sequence);
  const KldResult result = MeasureKld(options, model, sequence);
  ReportSparse(options.model, model);
  PrintKld(options, model, result);
}

void AddKld(CLI::App& eval) {
  auto options = std::make_shared<KldCommand>();
  CLI::App* kld = eval.add_subcommand("kld", "Divergence of a model's predictions from a reference model's");
  options->model.AddTo(*kld);
  options->model.AddSparseTo(*kld);
  auto* reference =
      kld->add_option("--reference", options->reference, "GGUF file to compare with, such as the F16 one");
  reference->check(CLI::ExistingFile);
  auto* logits = kld->add_option("--logits,--kl-divergence-base", options->logits,
                                 "Logits of the reference that --save-logits or llama-perplexity saved");
  logits->check(CLI::ExistingFile)->excludes(reference);
  auto* save = kld->add_option("--save-logits", options->save,
                               "Compare nothing: save MODEL's logits in this file, as llama-perplexity does");
  save->excludes(reference)->excludes(logits);
  options->output.AddTo(*kld);
  options->text.AddTo(*kld);
  kld->get_option("--file")->required(false)->excludes(logits);
  kld->add_option("--context", options->kld.context, "Window, BOS included")
      ->capture_default_str()
      ->check(kPositive)
      ->excludes(logits);
  kld->add_option("--max-tokens", options->kld.max_tokens, "Compare at most so many tokens; 0: all")
      ->check(kNotNegative);
  kld->add_option("--chunk", options->kld.chunk,
                  "Tokens that are read at a time. With 1, models compute as they do in writing")
      ->capture_default_str()
      ->check(kPositive);
  kld->add_flag("--json", options->json, "Print JSON");
  kld->footer(
      "Examples:\n  longspan eval kld model-Q4_K_M.gguf --reference model-F16.gguf --file book.txt\n"
      "  longspan eval kld model-F16.gguf --save-logits base.kld --file wiki.test.raw\n"
      "  longspan eval kld model-Q4_K_M.gguf --logits base.kld\n"
      "llama-perplexity reads and writes the same files (--kl-divergence-base). They take two bytes\n"
      "for each scored token and entry of the vocabulary: 65 MB for a window of 512 with Llama 3.");
  kld->callback([options] { RunKld(*options); });
}

struct PasskeyCommand {
  ModelOptions model;
  PasskeyOptions passkey;
  std::uint64_t seed = 1;
  bool json = false;
};

void RunPasskey(const PasskeyCommand& options) {
  const LoadedModel model = options.model.Load();
  const Tokenizer& tokenizer = model.tokenizer();
  const Passkey prompts(EncoderOf(tokenizer));
  for (const std::int64_t length : options.passkey.lengths) {
    if (length < prompts.MinLength()) {
      Fail(ErrorKind::kBadOption, "length {}: with this tokenizer a passkey prompt takes at least {} tokens",
           length, prompts.MinLength());
    }
  }
  const auto decode = [&](std::span<const std::int32_t> ids) {
    return tokenizer.Decode(ids, {.special = false, .continues = true});
  };
  TransformerSequence sequence(model.transformer(), options.model.CacheType(model.config()));
  const PasskeyResult r = NamingFile(options.model.path, [&] {
    return MeasurePasskey(sequence, PasskeyPrompts(prompts, options.seed), decode, options.passkey,
                          Terminal());
  });
  ReportSparse(options.model, model);
  if (options.json) {
    Json json{{"model", options.model.path},
              {"sparse_prefill", SparseJson(options.model, model)},
              {"seed", options.seed},
              {"seconds", r.seconds},
              {"results", Json::array()}};
    for (const PasskeyTally& t : r.tallies) {
      json["results"].push_back(
          {{"length", t.length}, {"depth", t.depth}, {"trials", t.trials}, {"found", t.found}});
    }
    return Print(json);
  }
  fmt::print("{}: passkeys found, {} trials a cell, seed {}\n{:>10}", options.model.path,
             options.passkey.trials, options.seed, "length");
  for (std::int64_t i = 0; i < r.depths; ++i)
    fmt::print(" {:>7}", fmt::format("at {:.0f}%", 100 * options.passkey.Depth(i)));
  fmt::print(" {:>7}\n", "all");
  for (std::size_t i = 0; i < r.lengths.size(); ++i) {
    fmt::print("{:>10}", r.lengths[i]);
    for (std::size_t d = 0; d < static_cast<std::size_t>(r.depths); ++d)
      fmt::print(" {:>6.0f}%", 100 * r.at(i, d).accuracy());
    fmt::print(" {:>6.1f}%\n", 100 * r.Accuracy(i));
  }
}

void AddPasskey(CLI::App& eval) {
  auto options = std::make_shared<PasskeyCommand>();
  CLI::App* passkey = eval.add_subcommand("passkey", "Whether a model finds a number that it read long ago");
  options->model.AddTo(*passkey);
  options->model.AddSparseTo(*passkey);
  passkey->add_option("--lengths", options->passkey.lengths, "Tokens of a prompt, such as 256,512,1024")
      ->required()
      ->delimiter(',')
      ->check(kPositive);
  passkey->add_option("--depths", options->passkey.depths, "Places of the key, from the start to the end")
      ->capture_default_str();
  passkey->add_option("--trials", options->passkey.trials, "Prompts at each length and depth")
      ->capture_default_str();
  passkey->add_option("--seed", options->seed, "Seed for the passkeys")
      ->capture_default_str()
      ->check(kNotNegative);
  passkey->add_flag("--json", options->json, "Print JSON");
  passkey->footer(
      "Example:\n  longspan eval passkey model.gguf --lengths 256,512,1024,2048,4096 --depths 5 --trials 10");
  passkey->callback([options] { RunPasskey(*options); });
}

}  // namespace

void AddEval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand(
      "eval", "Measure a model: perplexity, loss by position, KL divergence, passkey retrieval");
  eval->require_subcommand(1);
  AddPpl(*eval);
  AddKld(*eval);
  AddEvalPositions(*eval);
  AddPasskey(*eval);
}

}  // namespace longspan
