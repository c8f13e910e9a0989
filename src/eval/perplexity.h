// Perplexity of a model on documents, at one or several context lengths.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "infer/sequence.h"

namespace longspan {

enum class PerplexityMethod {
  kSliding,     // sliding windows over every document; each context scores what it can
  kSameTokens,  // sliding windows that score the same tokens at every context
  kHalves,      // llama.cpp's: disjoint windows, second half scored
};
std::string_view Name(PerplexityMethod method);  // "sliding", "same-tokens", "halves"

struct PerplexityOptions {
  std::vector<std::int64_t> contexts;
  // Tokens by which a window moves. Unset: 256, or half the shortest context where that is less.
  std::optional<std::int64_t> stride = std::nullopt;
  std::optional<PerplexityMethod> method =
      std::nullopt;             // unset: kSameTokens for several contexts, kSliding for one
  std::int64_t max_tokens = 0;  // score at most so many tokens at each context; 0: all
  // With kSameTokens, as if this were one of the contexts, though it is not read; 0: none.
  std::int64_t as_long_as = 0;

  PerplexityMethod Method() const;
  std::int64_t Stride() const;
  void Validate() const;  // Error(kBadOption)
};

struct PerplexityResult {
  std::int64_t context = 0;
  std::int64_t documents = 0;  // that had a window of this context
  std::int64_t windows = 0;
  std::int64_t tokens = 0;       // scored
  double nll = 0;                // total, nats
  double perplexity = 0;         // exp(nll / tokens), as PoSE reports
  double window_perplexity = 0;  // exp of the mean over windows of a window's mean NLL, as YaRN reports
  double standard_error = 0;     // of perplexity, taking tokens as independent
  double seconds = 0;
  double tokens_per_second = 0;  // read, not scored: overlapping windows read a token several times
};

// The windows that MeasurePerplexity reads at `context`, one of options.contexts, in documents of these
// lengths.
std::vector<Window> PerplexityWindows(std::span<const std::int64_t> lengths, std::int64_t context,
                                      const PerplexityOptions& options, bool bos);

// One result a context, in the order asked for. Windows never cross documents, which hold no BOS; `bos`
// begins every window where the model has one. Error(kBadOption) where no document is long enough.
std::vector<PerplexityResult> MeasurePerplexity(Sequence& model, std::span<const TokenDocument> documents,
                                                std::optional<std::int32_t> bos,
                                                const PerplexityOptions& options,
                                                Progress& progress = NoProgress());

}  // namespace longspan
