#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace longspan {

void SamplerOptions::Validate() const {
  const auto check = [](bool good, const char* name, auto value, const char* expected) {
    if (!good) Fail(ErrorKind::kBadOption, "{} is {}, expected {}", name, value, expected);
  };
  check(temperature >= 0 && std::isfinite(temperature), "temperature", temperature, "0 or more");
  check(top_k >= 0, "top-k", top_k, "0 or more");
  check(top_p > 0 && top_p <= 1, "top-p", top_p, "more than 0 and at most 1");
  check(min_p >= 0 && min_p <= 1, "min-p", min_p, "0 to 1");
  check(repeat_penalty > 0 && std::isfinite(repeat_penalty), "repeat penalty", repeat_penalty, "more than 0");
  check(repeat_window >= 0, "repeat window", repeat_window, "0 or more");
}

std::int32_t ArgMax(std::span<const float> logits) {
  float highest = -std::numeric_limits<float>::infinity();
  std::int32_t best = -1;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > highest) {
      highest = logits[i];
      best = static_cast<std::int32_t>(i);
    }
  }
  if (best < 0 || !std::isfinite(highest))
    Fail(ErrorKind::kInvalidFile, "the model's logits are not numbers");
  return best;
}

Sampler::Sampler(const SamplerOptions& options) : options_(options) { options_.Validate(); }

std::int32_t Sampler::Sample(std::span<const float> logits, std::span<const std::int32_t> history) {
  logits = Penalise(logits, history);
  const std::int32_t best = ArgMax(logits);
  if (options_.temperature == 0) return best;
  const float highest = logits[best];
  Collect(logits, highest);
  return Draw(highest);
}

std::span<const float> Sampler::Penalise(std::span<const float> logits,
                                         std::span<const std::int32_t> history) {
  if (options_.repeat_penalty == 1.0 || options_.repeat_window == 0 || history.empty()) return logits;
  penalised_.assign(logits.begin(), logits.end());
  const std::int64_t recent = std::min<std::int64_t>(std::ssize(history), options_.repeat_window);
  for (const std::int32_t token : history.last(recent)) {
    const auto i = static_cast<std::size_t>(token);
    if (i >= logits.size()) continue;
    if (!std::isfinite(logits[i])) continue;
    // Penalises the original logit, so that a token seen twice is penalised once. An extreme penalty leaves
    // the largest float rather than infinity, which would mean a broken model or a forbidden token.
    const double penalised =
        logits[i] > 0 ? logits[i] / options_.repeat_penalty : logits[i] * options_.repeat_penalty;
    penalised_[i] = static_cast<float>(std::clamp<double>(penalised, std::numeric_limits<float>::lowest(),
                                                          std::numeric_limits<float>::max()));
  }
  return penalised_;
}

// p / p_max = exp((logit - highest) / temperature), so min-p is a threshold on logits and needs no softmax.
// With top-k, the threshold rises to the k-th best so far, so that most of a large vocabulary costs one
// comparison each.
void Sampler::Collect(std::span<const float> logits, float highest) {
  const bool all = options_.top_k == 0 || std::cmp_greater_equal(options_.top_k, logits.size());
  const std::size_t k = all ? logits.size() : static_cast<std::size_t>(options_.top_k);
  const std::size_t full = std::max<std::size_t>(4 * k, 1024);
  // At a min-p of 0 the logarithm is -inf; a token whose logit is -inf is forbidden all the same.
  auto threshold = static_cast<float>(std::max<double>(
      highest + options_.temperature * std::log(options_.min_p), std::numeric_limits<float>::lowest()));
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] >= threshold)) continue;
    candidates_.push_back({logits[i], static_cast<std::int32_t>(i)});
    if (candidates_.size() == full) {
      KeepBest(k);
      threshold = candidates_.back().logit;
    }
  }
  if (k < candidates_.size()) KeepBest(k);
}

// The best k candidates, best first.
void Sampler::KeepBest(std::size_t k) {
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(candidates_.begin(), end, candidates_.end(), Likelier);
  candidates_.erase(end, candidates_.end());
  // The order that nth_element leaves depends on the library, and a draw must not.
  std::sort(candidates_.begin(), candidates_.end(), Likelier);
}

bool Sampler::Likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

std::int32_t Sampler::Draw(float highest) {
  // Divides, because the reciprocal of a tiny temperature is infinite, and 0 times infinity is not a number.
  // The likeliest token weighs 1 at any temperature.
  const auto weigh = [&](const Candidate& c) {
    return std::exp((double{c.logit} - highest) / options_.temperature);
  };
  double total = 0;
  for (const Candidate& c : candidates_) total += weigh(c);

  std::size_t kept = candidates_.size();
  if (options_.top_p < 1.0) {
    // Sorts no more than it needs: a nucleus is usually a few tokens out of a hundred thousand.
    const double nucleus = options_.top_p * total;
    double sum = 0;
    std::size_t sorted = 0;
    for (kept = 0; kept < candidates_.size() && sum < nucleus; ++kept) {
      if (kept == sorted) {
        sorted = std::min(candidates_.size(), std::max<std::size_t>(64, 4 * sorted));
        std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                          candidates_.begin() + static_cast<std::ptrdiff_t>(sorted), candidates_.end(),
                          Likelier);
      }
      sum += weigh(candidates_[kept]);
    }
    total = sum;
  }

  double left = Random(options_.seed, draws_++, RandomPurpose::kSample).Uniform() * total;
  for (std::size_t i = 0; i + 1 < kept; ++i) {
    left -= weigh(candidates_[i]);
    if (left < 0) return candidates_[i].token;
  }
  return candidates_[kept - 1].token;
}

}  // namespace longspan
