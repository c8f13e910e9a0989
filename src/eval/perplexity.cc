#include "eval/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/likelihood.h"
#include "eval/window_reader.h"

namespace longspan {
namespace {

std::vector<Window> WindowsOf(std::int64_t tokens, std::int64_t context, std::int64_t longest,
                              const PerplexityOptions& options, bool bos) {
  switch (options.Method()) {
    case PerplexityMethod::kSliding: return SlidingWindows(tokens, context, options.Stride(), bos);
    case PerplexityMethod::kSameTokens:
      return SameTokenWindows(tokens, context, longest, options.Stride(), bos);
    case PerplexityMethod::kHalves: return HalfWindows(tokens, context, bos);
  }
  return {};
}

// Sums over the tokens of a run.
struct Sums {
  std::int64_t tokens = 0;
  double nll = 0, squares = 0;

  void Add(std::span<const double> nlls) {
    tokens += std::ssize(nlls);
    for (const double x : nlls) {
      if (!std::isfinite(x)) Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers");
      nll += x;
      squares += x * x;
    }
  }
  double Mean() const { return nll / static_cast<double>(tokens); }
};

PerplexityResult Score(Sequence& model, std::span<const TokenDocument> documents,
                       std::optional<std::int32_t> bos, std::int64_t context, std::span<const Window> windows,
                       Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  progress.Start(fmt::format("perplexity {}", context), WindowReader::TokensToRead(windows, bos.has_value()),
                 "tokens");
  std::vector<bool> heard(documents.size());
  std::vector<double> nlls;
  Sums total;
  std::int64_t read = 0;
  WindowReader reader(model, bos, [&](std::int64_t tokens) {
    read += tokens;
    progress.Update(read, total.tokens > 0 ? fmt::format("ppl {:.4f}", std::exp(total.Mean())) : "");
  });
  double window_means = 0;
  for (const Window& window : windows) {
    const auto document = static_cast<std::size_t>(window.document);
    heard[document] = true;
    reader.Open(documents[document], window);
    Sums of_window;
    while (reader.Next()) {
      const auto targets = reader.targets();
      nlls.resize(targets.size());
      ParallelFor(std::ssize(targets), [&](std::int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        nlls[at] = NegativeLogLikelihood(reader.logits()[i], targets[at]);
      });
      total.Add(nlls);
      of_window.Add(nlls);
    }
    window_means += of_window.Mean();
  }

  PerplexityResult result;
  result.context = context;
  result.documents = std::ranges::count(heard, true);
  result.windows = std::ssize(windows);
  result.tokens = total.tokens;
  result.nll = total.nll;
  result.perplexity = std::exp(total.Mean());
  result.window_perplexity = std::exp(window_means / static_cast<double>(windows.size()));
  if (total.tokens > 1) {
    const double variance =
        std::max(0.0, total.squares / static_cast<double>(total.tokens) - total.Mean() * total.Mean());
    result.standard_error = result.perplexity * std::sqrt(variance / static_cast<double>(total.tokens - 1));
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.tokens_per_second = static_cast<double>(reader.tokens_read()) / std::max(result.seconds, 1e-9);
  progress.Finish(fmt::format("ppl {:.4f}", result.perplexity));
  return result;
}

}  // namespace

std::string_view Name(PerplexityMethod method) {
  switch (method) {
    case PerplexityMethod::kSliding: return "sliding";
    case PerplexityMethod::kSameTokens: return "same-tokens";
    case PerplexityMethod::kHalves: return "halves";
  }
  return "?";
}

PerplexityMethod PerplexityOptions::Method() const {
  return method.value_or(contexts.size() > 1 || as_long_as > 0 ? PerplexityMethod::kSameTokens
                                                               : PerplexityMethod::kSliding);
}

std::int64_t PerplexityOptions::Stride() const {
  if (stride) return *stride;
  constexpr std::int64_t kMost = 256;
  return contexts.empty() ? kMost : std::min(kMost, std::ranges::min(contexts) / 2);
}

void PerplexityOptions::Validate() const {
  if (contexts.empty()) Fail(ErrorKind::kBadOption, "context: none given");
  const auto [shortest, longest] = std::ranges::minmax(contexts);
  if (shortest < 4 || longest > (std::int64_t{1} << 31)) {
    Fail(ErrorKind::kBadOption, "context {}: expected 4 to 2^31", shortest < 4 ? shortest : longest);
  }
  if (max_tokens < 0) Fail(ErrorKind::kBadOption, "max tokens is {}, expected 0 or more", max_tokens);
  // A stride of the whole window would leave new tokens without any context before them.
  if (Method() != PerplexityMethod::kHalves && (Stride() < 1 || Stride() >= shortest)) {
    Fail(ErrorKind::kBadOption, "stride {}: expected 1 to {}, less than the shortest context", Stride(),
         shortest - 1);
  }
}

std::vector<Window> PerplexityWindows(std::span<const std::int64_t> lengths, std::int64_t context,
                                      const PerplexityOptions& options, bool bos) {
  const std::int64_t longest = std::max(options.as_long_as, std::ranges::max(options.contexts));
  std::vector<std::vector<Window>> of_documents;
  for (const std::int64_t length : lengths)
    of_documents.push_back(WindowsOf(length, context, longest, options, bos));
  return InTurn(of_documents, options.max_tokens);
}

std::vector<PerplexityResult> MeasurePerplexity(Sequence& model, std::span<const TokenDocument> documents,
                                                std::optional<std::int32_t> bos,
                                                const PerplexityOptions& options, Progress& progress) {
  options.Validate();
  const std::vector<std::int64_t> lengths = Lengths(documents);
  const std::int64_t longest = lengths.empty() ? 0 : std::ranges::max(lengths);
  std::vector<PerplexityResult> results;
  for (const std::int64_t context : options.contexts) {
    const std::vector<Window> windows = PerplexityWindows(lengths, context, options, bos.has_value());
    // A sliding window reads shorter documents as well, but they alone say nothing about this context.
    const bool filled = longest + (bos.has_value() ? 1 : 0) >= context;
    if (windows.empty() || !filled) {
      const bool same = options.Method() == PerplexityMethod::kSameTokens;
      Fail(ErrorKind::kBadOption,
           "context {}: no document fills it, the longest of {} has {} tokens; give a longer text or a "
           "shorter context",
           same ? std::ranges::max(options.contexts) : context, documents.size(), longest);
    }
    results.push_back(Score(model, documents, bos, context, windows, progress));
  }
  return results;
}

}  // namespace longspan
