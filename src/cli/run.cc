// longspan run: continue a text.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/naming_file.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "infer/session.h"
#include "infer/speculation.h"
#include "text/stream_decoder.h"
#include "text/warnings.h"

namespace longspan {
namespace {

struct RunOptions {
  ModelOptions model;
  std::optional<std::string> prompt;
  std::string file;
  std::int64_t tokens = 256;
  std::int64_t context = 0;
  SamplerOptions sampler;
  bool greedy = false, no_bos = false, special = false, json = false, stats = false;
  bool keep_newline = false;
  bool lookup = false;
  std::string draft;
  std::optional<Activations> draft_activations;  // unset: as the model's
  std::optional<Type> draft_cache_type;          // likewise
  std::int64_t draft_tokens = 4;

  // The draft model, run with the same options as the model that writes.
  ModelOptions Draft() const {
    ModelOptions options = model;
    options.path = draft;
    options.rope = {};
    options.adapters = {};
    options.activations = draft_activations.value_or(model.activations);
    if (draft_cache_type) options.cache_type = draft_cache_type;
    return options;
  }
};

std::string ReadStandardInput() {
  if (::isatty(STDIN_FILENO) != 0) {
    Fail(ErrorKind::kBadOption, "no prompt: give one with -p, a file with -f, or text on standard input");
  }
  std::string text;
  char buffer[1 << 16];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) text.append(buffer, n);
  return text;
}

// Drops one newline at the end, because editors and shells add it to a file and it is not part of the text.
std::string WithoutLastNewline(std::string text) {
  if (text.ends_with("\r\n")) {
    text.resize(text.size() - 2);
  } else if (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

std::string PromptOf(const RunOptions& options) {
  if (options.prompt) return *options.prompt;
  std::string text =
      options.file.empty() || options.file == "-" ? ReadStandardInput() : ReadFile(options.file);
  return options.keep_newline ? text : WithoutLastNewline(std::move(text));
}

// The most tokens that the session will hold. The model's window is no hard limit. Past it, text gets worse
// unless the model was stretched, so the user is warned.
std::int64_t ContextFor(const RunOptions& options, const LlamaConfig& config, std::int64_t prompt_tokens) {
  const std::int64_t room = std::numeric_limits<std::int64_t>::max() - prompt_tokens;
  const std::int64_t needed = prompt_tokens + std::min(options.tokens, room);
  const std::int64_t context = options.context > 0 ? options.context : std::max(config.context, needed);
  if (prompt_tokens > config.context) {
    Terminal().Message(fmt::format("warning: the prompt has {} tokens, more than the model's window of {}",
                                   prompt_tokens, config.context));
  }
  return context;
}

// What --lookup and --draft ask for.
struct Speculation {
  std::optional<LoadedModel> model;
  std::unique_ptr<Drafter> drafter;  // or null

  Speculation(const RunOptions& options, const LoadedModel& target) {
    if (options.lookup) drafter = std::make_unique<PromptLookup>();
    if (options.draft.empty()) return;
    const ModelOptions draft = options.Draft();
    model.emplace(draft.Load());
    CheckSameVocabulary(*model, target);
    try {
      drafter = std::make_unique<DraftModel>(model->transformer(), draft.CacheType(model->config()),
                                             options.draft_tokens);
    } catch (const Error& e) {
      Fail(e.kind(), "{}: {}; --draft-cache-type takes another", draft.path, e.what());
    }
  }
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

void Run(const RunOptions& options) {
  const LoadedModel model = options.model.Load();
  const Tokenizer& tokenizer = model.tokenizer();
  const std::string text = PromptOf(options);
  const auto prompt = tokenizer.Encode(text, {.parse_special = options.special,
                                              .add_bos = tokenizer.add_bos() && !options.no_bos,
                                              .add_eos = false});
  if (tokenizer.add_bos() && !options.no_bos)
    WarnOfTwoBos(tokenizer, prompt, "leave it out of the prompt, or use --no-bos", Terminal());
  WarnOfBytesLeftOut(tokenizer, Terminal());
  if (prompt.empty())
    Fail(ErrorKind::kBadOption, "the prompt is empty and the model has no token to begin with");

  Session session(model.transformer(), ContextFor(options, model.config(), std::ssize(prompt)),
                  options.model.CacheType(model.config()));
  const Speculation speculation(options, model);
  const auto prefill_start = std::chrono::steady_clock::now();
  // Short prompts are read faster than a bar can be drawn.
  session.Prefill(prompt, std::ssize(prompt) > 2 * Session::kChunk ? Terminal() : NoProgress());
  if (speculation.drafter != nullptr) speculation.drafter->Prefill(prompt);
  const double prefill_seconds = Seconds(prefill_start);

  Sampler sampler(options.sampler);
  StreamDecoder decoder(tokenizer, prompt, options.special);
  std::string written;
  std::vector<std::int32_t> tokens;
  const auto write = [&](const std::string& piece) {
    if (options.json) {
      written += piece;
    } else {
      fmt::print("{}", piece);
      FlushOutput();
    }
  };
  const auto start = std::chrono::steady_clock::now();
  const std::string files =
      options.model.path + (options.draft.empty() ? std::string() : " or " + options.draft);
  const StopReason reason = NamingFile(files, [&] {
    return session.Generate(
        sampler, {.max_tokens = options.tokens, .stop_tokens = model.stop_tokens()},
        [&](std::int32_t token) {
          tokens.push_back(token);
          write(decoder.Push(token));
          return true;
        },
        speculation.drafter.get());
  });
  write(decoder.Finish());
  const double seconds = Seconds(start);
  const GenerateStats& cost = session.stats();
  const auto rate = [](std::size_t n, double s) { return static_cast<double>(n) / std::max(s, 1e-9); };

  if (options.json) {
    nlohmann::json result{
        {"prompt_tokens", prompt.size()},     {"tokens", tokens},  {"text", written}, {"stop", Name(reason)},
        {"prefill_seconds", prefill_seconds}, {"seconds", seconds}};
    if (options.model.sparse_prefill) result["sparse_prefill"] = SparseJson(options.model, model);
    if (speculation.drafter != nullptr) {
      result["speculation"] = {{"passes", cost.passes},
                               {"proposed", cost.proposed},
                               {"accepted", cost.accepted},
                               {"tokens_per_pass", cost.TokensPerPass()}};
      if (speculation.model) {
        const ModelOptions draft = options.Draft();
        result["speculation"]["draft"] = {
            {"model", draft.path},
            {"activations", NameOf(draft.activations)},
            {"cache_type", Traits(draft.CacheType(speculation.model->config())).name}};
      }
    }
    fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("\n");
  }
  FlushOutput();
  if (options.stats) {
    fmt::print(stderr,
               "prompt {} tokens in {:.2f} s ({:.1f}/s), wrote {} in {:.2f} s ({:.1f}/s), stopped by: {}\n",
               prompt.size(), prefill_seconds, rate(prompt.size(), prefill_seconds), tokens.size(), seconds,
               rate(tokens.size(), seconds), Name(reason));
    const std::string sparse = SparseText(options.model, model);
    fmt::print(stderr, "kernels {}, weights {}{}{}\n", model.transformer().kernels().name(),
               NameOf(model.weight_memory()), sparse.empty() ? "" : ", ", sparse);
    if (speculation.drafter != nullptr) {
      fmt::print(stderr, "proposed {} tokens, accepted {}, in {} forward passes ({:.2f} tokens a pass)\n",
                 cost.proposed, cost.accepted, cost.passes, cost.TokensPerPass());
    }
  }
  if (reason == StopReason::kContextFull) {
    Terminal().Message(
        fmt::format("note: stopped at the context of {} tokens; --context raises it", session.context()));
  }
  if (reason == StopReason::kCancelled) ThrowIfCancelled();
}

}  // namespace

void AddRun(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  SamplerOptions& sampler = options->sampler;
  CLI::App* run = app.add_subcommand("run", "Continue a text with a model");
  options->model.activations = Activations::kInt8;
  options->model.fast_cache = true;
  options->model.AddTo(*run);
  options->model.AddSparseTo(*run);
  auto* prompt = run->add_option("-p,--prompt", options->prompt, "Text to continue");
  run->add_option("-f,--file", options->file, "File with the text to continue; - or neither: standard input")
      ->excludes(prompt);
  run->add_flag("--keep-newline", options->keep_newline,
                "Keep the newline at the end of a file or of standard input, which is dropped otherwise");
  run->add_option("-n,--tokens", options->tokens, "Most tokens to write")
      ->capture_default_str()
      ->check(kPositive);
  run->add_option("--context", options->context,
                  "Most tokens of prompt and text together (default: what is needed)")
      ->check(kPositive);
  run->add_option("--temperature", sampler.temperature, "0 always takes the likeliest token")
      ->capture_default_str();
  run->add_option("--top-k", sampler.top_k, "Keep the k likeliest tokens; 0: all")->capture_default_str();
  run->add_option("--top-p", sampler.top_p, "Keep the fewest tokens that reach this probability")
      ->capture_default_str();
  run->add_option("--min-p", sampler.min_p, "Keep tokens this likely relative to the likeliest")
      ->capture_default_str();
  run->add_option("--repeat-penalty", sampler.repeat_penalty, "Make recent tokens less likely; 1: off")
      ->capture_default_str();
  run->add_option("--repeat-window", sampler.repeat_window, "How many tokens are recent")
      ->capture_default_str();
  run->add_option("--seed", sampler.seed, "Seed for sampling; the same seed writes the same text")
      ->check(kNotNegative)
      ->capture_default_str();
  run->add_flag("--greedy", options->greedy, "The same as --temperature 0");
  run->add_flag("--no-bos", options->no_bos, "Do not begin with the beginning-of-text token");
  run->add_flag("--special", options->special, "Read special tokens in the prompt, and write them out");
  auto* lookup = run->add_flag("--lookup", options->lookup,
                               "Guess that text repeats, as code does: the same text, faster");
  auto* draft = run->add_option("--draft", options->draft,
                                "Let a smaller model of the same vocabulary guess: the same text, faster");
  draft->check(CLI::ExistingFile)->excludes(lookup);
  run->add_option("--draft-activations", options->draft_activations,
                  "exact or int8, for the smaller model (default: as --activations)")
      ->transform(CLI::CheckedTransformer(ActivationsByName()))
      ->needs(draft);
  run->add_option("--draft-cache-type", options->draft_cache_type,
                  "Type of its keys and values (default: as --cache-type)")
      ->transform(CLI::CheckedTransformer(CacheTypesByName(), CLI::ignore_case))
      ->needs(draft);
  run->add_option("--draft-tokens", options->draft_tokens, "Tokens that the smaller model guesses at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64))
      ->needs(draft);
  run->add_flag("--json", options->json, "Print one JSON object at the end");
  run->add_flag("--stats", options->stats, "Print speeds to standard error at the end");
  run->footer(
      "Example:\n  longspan run model.gguf -p 'Once upon a time' -n 200 --temperature 0.7 --seed 1\n"
      "  longspan run model.gguf -f book.txt --stats\n"
      "  longspan run base.gguf --adapter out/adapter -p 'Once upon a time'\n"
      "  longspan run model.gguf -f edit-this-code.txt --greedy --lookup --stats\n"
      "  longspan run model-8b.gguf -f book.txt --draft model-1b.gguf --draft-tokens 6");
  run->callback([options] {
    if (options->greedy) options->sampler.temperature = 0;
    options->sampler.Validate();  // before a large model is read
    Run(*options);
  });
}

}  // namespace longspan
