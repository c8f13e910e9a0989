#include "eval/position_loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/likelihood.h"
#include "eval/window_reader.h"

namespace longspan {
namespace {

struct Sums {
  std::int64_t tokens = 0;
  double nll = 0, squares = 0;

  PositionLoss Result(std::int64_t begin, std::int64_t end) const {
    const double n = static_cast<double>(tokens), mean = nll / n;
    PositionLoss loss{begin, end, tokens, nll, std::exp(mean), 0};
    if (tokens > 1)
      loss.standard_error = loss.perplexity * std::sqrt(std::max(0.0, squares / n - mean * mean) / (n - 1));
    return loss;
  }
};

}  // namespace

void PositionLossOptions::Validate() const {
  if (bounds.empty()) Fail(ErrorKind::kBadOption, "positions: no bounds given");
  std::int64_t before = 0;
  for (const std::int64_t bound : bounds) {
    if (bound <= std::max<std::int64_t>(before, 1) || bound > (std::int64_t{1} << 31))
      Fail(ErrorKind::kBadOption, "positions: expected rising bounds from 2 to 2^31, found {} after {}",
           bound, before);
    before = bound;
  }
  if (documents < 0) Fail(ErrorKind::kBadOption, "documents is {}, expected 0 or more", documents);
}

std::vector<std::int64_t> DoublingBounds(std::int64_t first, std::int64_t context) {
  std::vector<std::int64_t> bounds;
  for (std::int64_t bound = first; bound < context; bound *= 2) bounds.push_back(bound);
  bounds.push_back(context);
  return bounds;
}

PositionLossResult MeasurePositionLoss(Sequence& model, std::span<const TokenDocument> documents,
                                       std::optional<std::int32_t> bos, const PositionLossOptions& options,
                                       Progress& progress) {
  options.Validate();
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t first = bos ? 0 : 1, tokens = options.bounds.back() - (bos ? 1 : 0);
  std::vector<Window> windows;
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < std::ssize(documents); ++i) {
    const std::int64_t length = std::ssize(documents[i]);
    longest = std::max(longest, length);
    if (length < tokens || (options.documents > 0 && std::ssize(windows) == options.documents)) continue;
    windows.push_back({.document = i, .begin = 0, .first_scored = first, .end = tokens});
  }
  if (windows.empty()) {
    Fail(ErrorKind::kBadOption, "positions up to {}: no document fills them, the longest of {} has {} tokens",
         options.bounds.back(), documents.size(), longest);
  }

  progress.Start("loss by position", WindowReader::TokensToRead(windows, bos.has_value()), "tokens");
  std::int64_t read = 0;
  WindowReader reader(model, bos, [&](std::int64_t n) { progress.Update(read += n); });
  std::vector<Sums> sums(options.bounds.size());
  std::vector<double> nlls;
  for (const Window& window : windows) {
    reader.Open(documents[window.document], window);
    std::int64_t before =
        1;  // tokens before the target: a first token, BOS or the document's, comes before all
    std::size_t bucket = 0;
    while (reader.Next()) {
      const auto targets = reader.targets();
      nlls.resize(targets.size());
      ParallelFor(std::ssize(targets),
                  [&](std::int64_t i) { nlls[i] = NegativeLogLikelihood(reader.logits()[i], targets[i]); });
      for (const double nll : nlls) {
        if (!std::isfinite(nll)) Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers");
        while (before >= options.bounds[bucket]) ++bucket;
        ++sums[bucket].tokens;
        sums[bucket].nll += nll;
        sums[bucket].squares += nll * nll;
        ++before;
      }
    }
  }
  progress.Finish();

  PositionLossResult result;
  result.documents = std::ssize(windows);
  for (std::size_t i = 0; i < sums.size(); ++i)
    result.buckets.push_back(sums[i].Result(i == 0 ? 0 : options.bounds[i - 1], options.bounds[i]));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace longspan
