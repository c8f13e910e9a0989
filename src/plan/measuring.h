// What the measurements of a job read, and how long that takes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "benchmark/reading_time.h"
#include "data/encoder.h"
#include "release/recipe/recipe.h"

namespace longspan {

// The documents to measure on, as far as they are known before they are prepared.
struct KnownTexts {
  std::optional<std::vector<std::int64_t>> lengths;  // of all of them; nothing where only a part was read
  double tokens = 0;                                 // in all, an estimate where lengths are not known
};

struct Reading {
  std::int64_t tokens = 0;
  double seconds = 0;

  Reading& operator+=(const Reading& other) {
    tokens += other.tokens;
    seconds += other.seconds;
    return *this;
  }
};

// Perplexity alone, in the first `count` of the contexts. The rest as ReadingOfEvaluation.
Reading ReadingOfPerplexity(const EvalRecipe& eval, std::size_t count, const KnownTexts& texts, bool bos,
                            const ReadingTime& time);

// Perplexity, passkeys and loss by position of one model. Tokens are exact where all lengths are known, apart
// from the few that answer passkeys. Error(kCancelled).
Reading ReadingOfEvaluation(const EvalRecipe& eval, const KnownTexts& texts, const TextEncoder& encoder,
                            const ReadingTime& time);

// KL divergence of one type from the merged model: both models read.
Reading ReadingOfComparison(const KldRecipe& kld, const KnownTexts& texts, bool bos, const ReadingTime& time);

}  // namespace longspan
