// How far a model's predictions are from a reference model's: what quantisation costs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "eval/logits_file.h"
#include "eval/window.h"
#include "eval/window_reader.h"
#include "infer/sequence.h"

namespace longspan {

struct KldOptions {
  std::int64_t context = 512;
  std::int64_t max_tokens = 0;                // score at most so many tokens; 0: all
  std::int64_t chunk = WindowReader::kChunk;  // tokens that models read at a time; with one, as in writing
};

// A figure and the standard error of it.
struct Estimate {
  double value = 0, error = 0;
};

struct KldResult {
  std::int64_t tokens = 0;    // compared
  double mean = 0;            // of KL(reference || model), nats
  double standard_error = 0;  // of the mean
  double min = 0, median = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0;
  double same_top = 0;     // share of tokens whose likeliest continuation is the same
  double rms_delta_p = 0;  // root mean square change of the true token's probability
  Estimate mean_delta_p;   // its mean: below 0 where the model is less sure of what is true
  double same_top_error = 0, rms_delta_p_error = 0;
  double perplexity = 0, reference_perplexity = 0;
  Estimate log_perplexity_ratio;  // ln(perplexity / reference_perplexity)
  double seconds = 0;
};

// The windows that MeasureKld reads, in documents of these lengths.
std::vector<Window> KldWindows(std::span<const std::int64_t> lengths, const KldOptions& options, bool bos);

// Both models read the same disjoint windows side by side, and the second half of each is compared
// (llama.cpp's choice, so that numbers compare). Error(kBadOption) where vocabularies differ or no document
// fills a window.
KldResult MeasureKld(Sequence& model, Sequence& reference, std::span<const TokenDocument> documents,
                     std::optional<std::int32_t> bos, const KldOptions& options,
                     Progress& progress = NoProgress());

// The same with a reference that SaveLogits, or llama-perplexity, has run: its windows, whatever their
// context, and of them at most options.max_tokens tokens.
KldResult MeasureKld(Sequence& model, const LogitsFile& reference, std::optional<std::int32_t> bos,
                     const KldOptions& options, Progress& progress = NoProgress());

struct SavedLogits {
  std::int64_t tokens = 0, chunks = 0;
  double perplexity = 0;
};

// Writes the predictions of `reference` for the windows that MeasureKld would read, whole windows only.
SavedLogits SaveLogits(Sequence& reference, std::span<const TokenDocument> documents,
                       std::optional<std::int32_t> bos, const KldOptions& options,
                       const std::filesystem::path& path, Progress& progress = NoProgress());

}  // namespace longspan
