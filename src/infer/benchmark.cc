#include "infer/benchmark.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "base/cancel.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/random.h"
#include "infer/cost.h"
#include "infer/session.h"
#include "model/kv_cache.h"

namespace longspan {
namespace {

std::vector<std::int32_t> RandomTokens(std::int64_t n, std::int64_t vocab_size) {
  Random random(0, 0, RandomPurpose::kSynthetic);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random.Below(vocab_size));
  return tokens;
}

// A sequence that can be set back to any depth and read from there.
class Subject {
 public:
  explicit Subject(const Transformer& model)
      : model_(model),
        cache_(model.config()),
        hidden_(Session::kChunk, model.config().dim),
        logits_(1, model.config().vocab_size) {}

  void SetDepth(std::int64_t depth) {
    cache_.Truncate(depth);
    cache_.AppendRandom(depth - cache_.length());
  }

  // Reads in chunks, then asks what follows the last token.
  void Read(std::span<const std::int32_t> tokens) {
    while (!tokens.empty()) {
      ThrowIfCancelled();
      const auto chunk = tokens.first(std::min<std::size_t>(tokens.size(), Session::kChunk));
      const Rows hidden = Rows(hidden_).Slice(0, std::ssize(chunk));
      model_.Forward(chunk, cache_, hidden);
      tokens = tokens.subspan(chunk.size());
      if (tokens.empty()) model_.Logits(hidden.Slice(hidden.rows - 1, 1), logits_);
    }
  }

  void Write(std::span<const std::int32_t> tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) Read(tokens.subspan(i, 1));
  }

 private:
  const Transformer& model_;
  KvCache cache_;
  Matrix hidden_, logits_;
};

class Benchmark {
 public:
  Benchmark(const Transformer& model, const BenchmarkOptions& options, Progress& progress)
      : model_(model),
        options_(options),
        progress_(progress),
        subject_(model),
        tokens_(RandomTokens(std::max({options.prefill, options.decode, options.prompt, std::int64_t{1}}),
                             model.config().vocab_size)) {}

  std::vector<BenchmarkResult> Run() {
    // Weights are mapped, not loaded: the first pass reads the file.
    progress_.Message("touching all weights");
    subject_.Write(First(1));
    std::vector<std::int64_t> depths = options_.depths;
    std::ranges::sort(depths);
    if (options_.prefill > 0) {
      for (const std::int64_t depth : depths)
        Measure(Reading(BenchmarkWork::kPrefill, depth, options_.prefill));
    }
    if (options_.prompt > 0) Measure(Reading(BenchmarkWork::kPrompt, 0, options_.prompt));
    if (options_.decode > 0) {
      for (const std::int64_t depth : depths) Measure(Decoding(depth));
    }
    return std::move(results_);
  }

 private:
  std::span<const std::int32_t> First(std::int64_t n) const {
    return std::span(tokens_).first(static_cast<std::size_t>(n));
  }

  BenchmarkResult Reading(BenchmarkWork work, std::int64_t depth, std::int64_t tokens) const {
    BenchmarkResult result{work, depth, tokens};
    const LlamaConfig& config = model_.config();
    result.operations = ForwardOperations(config, tokens, depth) + LogitsOperations(config, 1);
    for (std::int64_t done = 0; done < tokens; done += Session::kChunk) {
      const std::int64_t end = std::min(tokens, done + Session::kChunk);
      result.bytes += WeightBytes(model_.weights()) + KvBytes(config, depth + end - 1);
    }
    return result;
  }

  BenchmarkResult Decoding(std::int64_t depth) const {
    BenchmarkResult result{BenchmarkWork::kDecode, depth, options_.decode};
    const LlamaConfig& config = model_.config();
    result.operations =
        ForwardOperations(config, options_.decode, depth) + LogitsOperations(config, options_.decode);
    for (std::int64_t i = 0; i < options_.decode; ++i) {
      result.bytes += WeightBytes(model_.weights()) + KvBytes(config, depth + i);
    }
    return result;
  }

  void Measure(BenchmarkResult result) {
    const std::int64_t repetitions = result.work == BenchmarkWork::kPrompt ? 1 : options_.repetitions;
    progress_.Start(fmt::format("{} {} at {}", Name(result.work), result.tokens, result.depth), repetitions,
                    "runs");
    for (std::int64_t i = 0; i < repetitions; ++i) {
      subject_.SetDepth(result.depth);
      const auto start = std::chrono::steady_clock::now();
      if (result.work == BenchmarkWork::kDecode)
        subject_.Write(First(result.tokens));
      else
        subject_.Read(First(result.tokens));
      result.seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      progress_.Update(i + 1);
    }
    std::ranges::sort(result.seconds);
    progress_.Finish(fmt::format("{:.1f} tokens/s", result.TokensPerSecond(result.BestSeconds())));
    results_.push_back(std::move(result));
  }

  const Transformer& model_;
  const BenchmarkOptions& options_;
  Progress& progress_;
  Subject subject_;
  std::vector<std::int32_t> tokens_;
  std::vector<BenchmarkResult> results_;
};

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
  const std::int64_t deepest = options.depths.empty() ? 0 : std::ranges::max(options.depths);
  const std::int64_t tokens = std::max(options.prompt, deepest + std::max(options.prefill, options.decode));
  const double cache = static_cast<double>(KvCache::Bytes(model.config(), tokens));
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
    case BenchmarkWork::kPrefill:
      return "prefill";
    case BenchmarkWork::kPrompt:
      return "prompt";
    case BenchmarkWork::kDecode:
      return "decode";
  }
  return "?";
}

double BenchmarkResult::MedianSeconds() const {
  const std::size_t n = seconds.size();
  return (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
}

std::vector<BenchmarkResult> MeasureModel(const Transformer& model, const BenchmarkOptions& options,
                                          Progress& progress) {
  Validate(model, options);
  return Benchmark(model, options, progress).Run();
}

}  // namespace longspan
