#include "plan/measuring.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/cancel.h"
#include "data/passkey.h"
#include "eval/kld.h"
#include "eval/passkey.h"
#include "eval/perplexity.h"
#include "eval/window_reader.h"

namespace longspan {
namespace {

// Passkey prompts of a length that are made to see what they share: as many tokens, and at least so many
// prompts.
constexpr std::int64_t kTokensMade = 1 << 22, kPromptsMade = 20;

Reading ReadingOf(const std::vector<Window>& windows, bool bos, const ReadingTime& time) {
  Reading reading;
  std::int64_t scored = 0;
  for (const Window& window : windows) {
    reading.seconds += time.Read(static_cast<double>(window.end - window.begin));
    scored += window.scored();
  }
  reading.seconds += static_cast<double>(scored) * time.logits;
  reading.tokens = WindowReader::TokensToRead(windows, bos);
  return reading;
}

// The same where nothing but sums is known.
Reading ReadingOf(double windows, std::int64_t context, double scored, const ReadingTime& time) {
  const auto length = static_cast<double>(context);
  return {std::llround(windows * length), windows * time.Read(length) + scored * time.logits};
}

Reading ReadingOfContext(const EvalRecipe& eval, std::int64_t context, const KnownTexts& texts, bool bos,
                         const ReadingTime& time) {
  if (texts.lengths) {
    const PerplexityOptions options{
        .contexts = eval.contexts, .stride = eval.stride, .max_tokens = eval.max_tokens};
    return ReadingOf(PerplexityWindows(*texts.lengths, context, options, bos), bos, time);
  }
  // Of several contexts, each scores the tokens that the longest one can; of one, its first window scores
  // all.
  const double scored = std::min(static_cast<double>(eval.max_tokens), texts.tokens);
  const auto stride = static_cast<double>(eval.stride), first = static_cast<double>(context);
  const double windows =
      std::ceil(eval.contexts.size() > 1 ? scored / stride : 1 + std::max(0.0, scored - first) / stride);
  return ReadingOf(windows, context, scored, time);
}

void AddPasskeys(const PasskeyRecipe& recipe, const TextEncoder& encoder, const ReadingTime& time,
                 Reading& reading) {
  const PasskeyOptions options{.lengths = recipe.lengths, .depths = recipe.depths, .trials = recipe.trials};
  const Passkey prompts(encoder);
  const PasskeyMaker make = PasskeyPrompts(prompts, recipe.seed);
  std::vector<std::int32_t> before;
  for (const std::int64_t length : recipe.lengths) {
    // What a prompt shares with the one before it is not read again (eval/passkey.cc). More prompts than
    // these share as much as these do.
    const std::int64_t all = recipe.depths * recipe.trials,
                       made = std::min(all, std::max(kPromptsMade, kTokensMade / length));
    const double times = static_cast<double>(all) / static_cast<double>(made);
    std::vector<std::vector<std::int32_t>> sorted;
    for (std::int64_t i = 0; i < made; ++i) {
      ThrowIfCancelled();
      sorted.push_back(make(length, options.Depth(i % recipe.depths), i / recipe.depths).tokens);
    }
    std::ranges::sort(sorted);
    double fresh_tokens = 0;
    for (std::vector<std::int32_t>& prompt : sorted) {
      const std::int64_t same = std::ranges::mismatch(prompt, before).in1 - prompt.begin();
      const auto shared = static_cast<double>(std::min(same, length - 1));  // the last token gives the logits
      const double fresh = static_cast<double>(length) - shared;
      reading.seconds +=
          times * (time.Read(fresh, shared) + static_cast<double>(options.max_new_tokens) *
                                                  (time.write + time.key * static_cast<double>(length)));
      fresh_tokens += times * fresh;
      before = std::move(prompt);
    }
    reading.tokens += std::llround(fresh_tokens);
  }
}

}  // namespace

Reading ReadingOfPerplexity(const EvalRecipe& eval, std::size_t count, const KnownTexts& texts, bool bos,
                            const ReadingTime& time) {
  Reading all;
  for (const std::int64_t context : std::span(eval.contexts).first(count))
    all += ReadingOfContext(eval, context, texts, bos, time);
  return all;
}

Reading ReadingOfEvaluation(const EvalRecipe& eval, const KnownTexts& texts, const TextEncoder& encoder,
                            const ReadingTime& time) {
  const bool bos = encoder.bos >= 0;
  Reading all = ReadingOfPerplexity(eval, eval.contexts.size(), texts, bos, time);
  AddPasskeys(eval.passkey, encoder, time, all);
  const ByPositionRecipe& by_position = eval.by_position;
  std::int64_t documents = by_position.documents;
  if (texts.lengths) {
    const std::int64_t least = by_position.max_tokens - (bos ? 1 : 0);
    documents = std::min(documents,
                         std::ranges::count_if(*texts.lengths, [&](std::int64_t n) { return n >= least; }));
  }
  const std::int64_t read = by_position.max_tokens - 1;  // the last one is only predicted
  const auto n = static_cast<double>(read);
  all.tokens += documents * read;
  all.seconds += static_cast<double>(documents) * (time.Read(n) + n * time.logits);
  return all;
}

Reading ReadingOfComparison(const KldRecipe& kld, const KnownTexts& texts, bool bos,
                            const ReadingTime& time) {
  Reading one;
  if (texts.lengths) {
    one = ReadingOf(KldWindows(*texts.lengths, {kld.context, kld.max_tokens}, bos), bos, time);
  } else {
    // Half of each window is scored.
    const double scored = std::min(static_cast<double>(kld.max_tokens), texts.tokens / 2);
    const double windows = std::ceil(scored / (static_cast<double>(kld.context) / 2));
    one = ReadingOf(windows, kld.context, scored, time);
  }
  return {2 * one.tokens, 2 * one.seconds};
}

}  // namespace longspan
