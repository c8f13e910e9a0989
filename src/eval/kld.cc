#include "eval/kld.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "eval/likelihood.h"
#include "eval/window_reader.h"
#include "infer/sampler.h"

namespace longspan {
namespace {

// What one token's two rows of logits say.
struct Comparison {
  double divergence = 0, nll = 0, reference_nll = 0;
  bool same_top = false;
};

Comparison Compare(std::span<const float> logits, std::span<const float> reference, std::int32_t target) {
  return {.divergence = KlDivergence(reference, logits),
          .nll = NegativeLogLikelihood(logits, target),
          .reference_nll = NegativeLogLikelihood(reference, target),
          .same_top = ArgMax(logits) == ArgMax(reference)};
}

// The value below which `share` of `sorted` lies, between neighbours where it falls between.
double Quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, sorted.size() - 1);
  return std::lerp(sorted[low], sorted[high], at - static_cast<double>(low));
}

}  // namespace

KldResult MeasureKld(Sequence& model, Sequence& reference, std::span<const TokenDocument> documents,
                     std::optional<std::int32_t> bos, const KldOptions& options, Progress& progress) {
  if (model.vocab_size() != reference.vocab_size()) {
    Fail(ErrorKind::kBadOption, "the model's vocabulary has {} tokens, the reference's {}",
         model.vocab_size(), reference.vocab_size());
  }
  if (options.context < 4) Fail(ErrorKind::kBadOption, "context {}: expected 4 or more", options.context);
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::vector<Window>> of_documents;
  for (const TokenDocument& document : documents) {
    of_documents.push_back(HalfWindows(std::ssize(document), options.context, bos.has_value()));
  }
  const std::vector<Window> windows = InTurn(of_documents, options.max_tokens);
  if (windows.empty()) Fail(ErrorKind::kBadOption, "context {}: no document fills it", options.context);
  std::int64_t planned = 0;
  for (const Window& window : windows) planned += window.scored();

  progress.Start("KL divergence", planned, "tokens");
  WindowReader reader(model, bos), reference_reader(reference, bos);
  std::vector<Comparison> block;
  std::vector<double> divergences;
  double sum = 0, squares = 0, nll = 0, reference_nll = 0, delta_squares = 0;
  std::int64_t same_top = 0;
  for (const Window& window : windows) {
    const TokenDocument& document = documents[static_cast<std::size_t>(window.document)];
    reader.Open(document, window);
    reference_reader.Open(document, window);
    while (reader.Next() && reference_reader.Next()) {
      const auto targets = reader.targets();
      block.resize(targets.size());
      ParallelFor(std::ssize(targets), [&](std::int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        block[at] = Compare(reader.logits()[i], reference_reader.logits()[i], targets[at]);
      });
      for (const Comparison& c : block) {
        divergences.push_back(c.divergence);
        sum += c.divergence;
        squares += c.divergence * c.divergence;
        nll += c.nll;
        reference_nll += c.reference_nll;
        const double delta = std::exp(-c.nll) - std::exp(-c.reference_nll);
        delta_squares += delta * delta;
        same_top += c.same_top ? 1 : 0;
      }
    }
    progress.Update(std::ssize(divergences),
                    fmt::format("KL {:.6f}", sum / static_cast<double>(divergences.size())));
  }
  progress.Finish();

  const auto n = static_cast<double>(divergences.size());
  std::ranges::sort(divergences);
  KldResult result;
  result.tokens = std::ssize(divergences);
  result.mean = sum / n;
  if (n > 1)
    result.standard_error = std::sqrt(std::max(0.0, squares / n - result.mean * result.mean) / (n - 1));
  result.median = Quantile(divergences, 0.5);
  result.p90 = Quantile(divergences, 0.9);
  result.p99 = Quantile(divergences, 0.99);
  result.max = divergences.back();
  result.same_top = static_cast<double>(same_top) / n;
  result.rms_delta_p = std::sqrt(delta_squares / n);
  result.perplexity = std::exp(nll / n);
  result.reference_perplexity = std::exp(reference_nll / n);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace longspan
