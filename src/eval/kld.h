// How far a model's predictions are from a reference model's: what quantisation costs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "eval/window.h"
#include "infer/sequence.h"

namespace longspan {

struct KldOptions {
  std::int64_t context = 512;
  std::int64_t max_tokens = 0;  // score at most so many tokens; 0: all
};

struct KldResult {
  std::int64_t tokens = 0;    // compared
  double mean = 0;            // of KL(reference || model), nats
  double standard_error = 0;  // of the mean
  double median = 0, p90 = 0, p99 = 0, max = 0;
  double same_top = 0;     // share of tokens whose likeliest continuation is the same
  double rms_delta_p = 0;  // root mean square change of the true token's probability
  double perplexity = 0, reference_perplexity = 0;
  double seconds = 0;
};

// Both models read the same disjoint windows side by side, and the second half of each is compared
// (llama.cpp's choice, so that numbers compare). Error(kBadOption) where vocabularies differ or no document
// fills a window.
KldResult MeasureKld(Sequence& model, Sequence& reference, std::span<const TokenDocument> documents,
                     std::optional<std::int32_t> bos, const KldOptions& options,
                     Progress& progress = NoProgress());

}  // namespace longspan
