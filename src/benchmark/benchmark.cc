#include "benchmark/benchmark.h"

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "base/random.h"
#include "benchmark/cost.h"
#include "benchmark/random_depth.h"
#include "benchmark/seconds.h"
#include "infer/session.h"
#include "model/kv_cache.h"
#include "model/kv_page_pool.h"

namespace longspan {
namespace {

std::vector<std::int32_t> RandomTokens(std::int64_t n, std::int64_t vocab_size) {
  Random random(0, 0, RandomPurpose::kSynthetic);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random.Below(vocab_size));
  return tokens;
}

// Sequences that can be set back to any depth and continued from there, all alike.
class Subject {
 public:
  Subject(const Transformer& model, Type cache_type)
      : model_(model), pool_(KvPagePool::Make(model.config(), cache_type)) {}

  void Set(std::int64_t sequences, std::int64_t depth) {
    while (std::ssize(caches_) > sequences) caches_.pop_back();
    while (std::ssize(caches_) < sequences) caches_.emplace_back(pool_);
    for (KvCache& cache : caches_) {
      cache.Truncate(depth);
      AppendRandom(model_.kernels(), depth - cache.length(), cache);
    }
    hidden_.Resize(std::max(sequences, Session::kChunk), model_.config().dim);
    logits_.Resize(sequences, model_.config().vocab_size);
  }

  // The first sequence reads in chunks and, where this is the end of it, computes the logits of the last
  // token. `model` computes what the subject's own model does.
  void Read(const Transformer& model, std::span<const std::int32_t> tokens, bool end = true) {
    while (!tokens.empty()) {
      ThrowIfCancelled();
      const auto chunk = tokens.first(std::min<std::size_t>(tokens.size(), Session::kChunk));
      const Rows hidden = Rows(hidden_).Slice(0, std::ssize(chunk));
      model.Forward(chunk, caches_.front(), hidden);
      tokens = tokens.subspan(chunk.size());
      if (tokens.empty() && end) model.Logits(hidden.Slice(hidden.rows - 1, 1), Rows(logits_).Slice(0, 1));
    }
  }

  // All sequences read one token after another, each with its logits.
  void Write(const Transformer& model, std::span<const std::int32_t> tokens) {
    std::vector<SequenceTokens> pass;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ThrowIfCancelled();
      pass.clear();
      for (KvCache& cache : caches_) pass.push_back({tokens.subspan(i, 1), &cache});
      const Rows hidden = Rows(hidden_).Slice(0, std::ssize(pass));
      model.Forward(pass, hidden);
      model.Logits(hidden, logits_);
    }
  }

 private:
  const Transformer& model_;
  std::shared_ptr<KvPagePool> pool_;
  std::vector<KvCache> caches_;
  Matrix hidden_, logits_;
};

double Total(std::span<const PartTime> parts) {
  double seconds = 0;
  for (const PartTime& time : parts) seconds += time.seconds;
  return seconds;
}

class Benchmark {
 public:
  Benchmark(const Transformer& model, const BenchmarkOptions& options, Progress& progress)
      : model_(model),
        options_(options),
        progress_(progress),
        profiling_(model.kernels(), model.weights()),
        profiled_(model, profiling_),
        subject_(model, options.cache_type),
        tokens_(RandomTokens(std::max({options.prefill, options.decode, options.prompt, std::int64_t{1}}),
                             model.config().vocab_size)) {}

  std::vector<BenchmarkResult> Run() {
    // Weights are mapped, not loaded: the first pass reads the file.
    progress_.Message("touching all weights");
    subject_.Set(1, 0);
    subject_.Write(model_, First(1));
    std::vector<std::int64_t> depths = options_.depths, batches = options_.batches;
    std::ranges::sort(depths);
    std::ranges::sort(batches);
    if (options_.prefill > 0) {
      for (const std::int64_t depth : depths)
        Measure(Reading(BenchmarkWork::kPrefill, depth, options_.prefill));
    }
    if (options_.prompt > 0) MeasurePrompt(Reading(BenchmarkWork::kPrompt, 0, options_.prompt));
    if (options_.decode > 0) {
      for (const std::int64_t depth : depths) {
        for (const std::int64_t sequences : batches) {
          if (sequences == 1 || depth == depths.front()) Measure(Decoding(depth, sequences));
        }
      }
    }
    return std::move(results_);
  }

 private:
  std::span<const std::int32_t> First(std::int64_t n) const { return std::span(tokens_).first(n); }

  BenchmarkResult Reading(BenchmarkWork work, std::int64_t depth, std::int64_t tokens) const {
    BenchmarkResult result{work, depth, tokens};
    const LlamaConfig& config = model_.config();
    result.operations = ForwardOperations(config, tokens, depth) + LogitsOperations(config, 1);
    for (std::int64_t done = 0; done < tokens; done += Session::kChunk) {
      const std::int64_t end = std::min(tokens, done + Session::kChunk);
      result.bytes += WeightBytes(model_.weights()) + KvBytes(config, depth + end - 1, options_.cache_type);
    }
    return result;
  }

  BenchmarkResult Decoding(std::int64_t depth, std::int64_t sequences) const {
    BenchmarkResult result{BenchmarkWork::kDecode, depth, options_.decode, sequences};
    const LlamaConfig& config = model_.config();
    const auto n = static_cast<double>(sequences);
    result.operations =
        n * (ForwardOperations(config, options_.decode, depth) + LogitsOperations(config, options_.decode));
    for (std::int64_t i = 0; i < options_.decode; ++i) {
      result.bytes += WeightBytes(model_.weights()) + n * KvBytes(config, depth + i, options_.cache_type);
    }
    return result;
  }

  // KV blocks that sparse prefill has chosen among, and chosen, so far.
  std::int64_t Seen() const {
    return model_.sparse_tally() == nullptr ? 0 : model_.sparse_tally()->seen.load();
  }
  std::int64_t Chosen() const {
    return model_.sparse_tally() == nullptr ? 0 : model_.sparse_tally()->chosen.load();
  }

  void Measure(BenchmarkResult result) {
    const std::int64_t repetitions = options_.repetitions;
    const std::string batch = result.sequences == 1 ? "" : fmt::format(" x {}", result.sequences);
    progress_.Start(fmt::format("{} {}{} at {}", Name(result.work), result.tokens, batch, result.depth),
                    repetitions, "runs");
    const double amount = result.work == BenchmarkWork::kDecode ? result.bytes : result.operations;
    double before = options_.machine ? options_.machine(result.work) : 0;
    const std::int64_t seen = Seen(), chosen = Chosen();
    for (std::int64_t i = 0; i < repetitions; ++i) {
      subject_.Set(result.sequences, result.depth);
      const double seconds = SecondsOf([&] { Do(result, model_); });
      result.seconds.push_back(seconds);
      if (options_.machine) {
        const double after = options_.machine(result.work);
        result.of_machine.push_back(amount / seconds / ((before + after) / 2));
        before = after;
      }
      progress_.Update(i + 1);
    }
    if (Seen() > seen)
      result.chosen = static_cast<double>(Chosen() - chosen) / static_cast<double>(Seen() - seen);
    std::ranges::sort(result.seconds);
    std::ranges::sort(result.of_machine);
    if (options_.profile) Profile(repetitions, result);
    progress_.Finish(fmt::format("{:.1f} tokens/s", result.TokensPerSecond(result.BestSeconds())));
    results_.push_back(std::move(result));
  }

  // Read once, stretch by stretch, so that one sees how fast it is at each depth.
  void MeasurePrompt(BenchmarkResult result) {
    constexpr std::int64_t kLeast = BenchmarkResult::kStretches * Session::kChunk;
    const std::int64_t length = (result.tokens + kLeast - 1) / kLeast * Session::kChunk;
    progress_.Start(fmt::format("prompt of {}", result.tokens), result.tokens, "tokens");
    const auto machine = [&] { return options_.machine ? options_.machine(result.work) : 0; };
    const std::int64_t seen = Seen(), chosen = Chosen();
    subject_.Set(1, 0);
    double before = machine(), seconds = 0, at_peak = 0, done = 0;
    for (std::int64_t depth = 0; depth < result.tokens; depth += length) {
      const std::int64_t tokens = std::min(length, result.tokens - depth);
      const bool end = depth + tokens == result.tokens;
      PromptStretch stretch{depth, tokens};
      stretch.seconds =
          SecondsOf([&] { subject_.Read(model_, std::span(tokens_).subspan(depth, tokens), end); });
      const double after = machine();
      const LlamaConfig& config = model_.config();
      const double operations =
          ForwardOperations(config, tokens, depth) + (end ? LogitsOperations(config, 1) : 0);
      if (const double peak = (before + after) / 2; peak > 0) {
        stretch.of_machine = operations / stretch.seconds / peak;
        at_peak += operations / peak;
      }
      seconds += stretch.seconds;
      before = after;
      done += operations;
      progress_.Work(static_cast<std::int64_t>(done), static_cast<std::int64_t>(result.operations));
      const double rate = static_cast<double>(tokens) / stretch.seconds;
      progress_.Update(depth + tokens, fmt::format("{:.1f} tokens/s at {}", rate, depth));
      result.stretches.push_back(stretch);
    }
    result.seconds = {seconds};
    if (options_.machine) result.of_machine = {at_peak / seconds};
    if (Seen() > seen)
      result.chosen = static_cast<double>(Chosen() - chosen) / static_cast<double>(Seen() - seen);
    if (options_.profile) Profile(1, result);
    progress_.Finish(fmt::format("{:.1f} tokens/s", result.TokensPerSecond(seconds)));
    results_.push_back(std::move(result));
  }

  void Do(const BenchmarkResult& result, const Transformer& model) {
    if (result.work == BenchmarkWork::kDecode)
      subject_.Write(model, First(result.tokens));
    else
      subject_.Read(model, First(result.tokens));
  }

  void Profile(std::int64_t repetitions, BenchmarkResult& result) {
    for (std::int64_t i = 0; i < repetitions; ++i) {
      subject_.Set(result.sequences, result.depth);
      const std::vector<PartTime> parts = profiling_.Profile([&] { Do(result, profiled_); });
      if (i == 0 || Total(parts) < Total(result.parts)) result.parts = parts;
    }
  }

  const Transformer& model_;
  const BenchmarkOptions& options_;
  Progress& progress_;
  ProfilingKernels profiling_;
  const Transformer profiled_;  // model_ with these
  Subject subject_;
  std::vector<std::int32_t> tokens_;
  std::vector<BenchmarkResult> results_;
};

double MedianOf(const std::vector<double>& sorted) {
  const std::size_t n = sorted.size();
  return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

void Validate(const Transformer& model, const BenchmarkOptions& options) {
  const auto check = [](std::int64_t value, std::int64_t least, std::string_view what) {
    constexpr std::int64_t kMost = std::int64_t{1} << 30;  // positions are 32 bits
    if (value < least || value > kMost) {
      Fail(ErrorKind::kBadOption, "{}: expected {} to {}, found {}", what, least, kMost, value);
    }
  };
  check(options.prefill, 0, "tokens of a prefill");
  check(options.decode, 0, "tokens to write");
  check(options.prompt, 0, "tokens of the prompt");
  check(options.repetitions, 1, "repetitions");
  for (const std::int64_t depth : options.depths) check(depth, 0, "depth");
  for (const std::int64_t sequences : options.batches) check(sequences, 1, "sequences at once");
  const auto most = [](const std::vector<std::int64_t>& all) {
    return all.empty() ? 0 : std::ranges::max(all);
  };
  const std::int64_t shallow = options.depths.empty() ? 0 : std::ranges::min(options.depths);
  const std::int64_t tokens =
      std::max({options.prompt, most(options.depths) + std::max(options.prefill, options.decode),
                most(options.batches) * (shallow + options.decode)});
  const double cache = static_cast<double>(KvCache::Bytes(model.config(), tokens, options.cache_type));
  const double weights = WeightBytes(model.weights()), memory = static_cast<double>(MemoryBytes());
  if (cache + weights > memory) {
    constexpr double kGiB = 1 << 30;
    Fail(ErrorKind::kOutOfMemory,
         "{} tokens need {:.1f} GiB for keys and values beside {:.1f} GiB of weights; the machine has {:.1f} "
         "GiB",
         tokens, cache / kGiB, weights / kGiB, memory / kGiB);
  }
}

}  // namespace

std::string_view Name(BenchmarkWork work) {
  switch (work) {
    case BenchmarkWork::kPrefill: return "prefill";
    case BenchmarkWork::kPrompt: return "prompt";
    case BenchmarkWork::kDecode: return "decode";
  }
  return "?";
}

double BenchmarkResult::MedianSeconds() const { return MedianOf(seconds); }
double BenchmarkResult::ProfiledSeconds() const { return Total(parts); }
double BenchmarkResult::MedianOfMachine() const { return MedianOf(of_machine); }

std::vector<BenchmarkResult> MeasureModel(const Transformer& model, const BenchmarkOptions& options,
                                          Progress& progress) {
  Validate(model, options);
  return Benchmark(model, options, progress).Run();
}

}  // namespace longspan
