#include "eval/likelihood.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace longspan {
namespace {

// Exponentials are computed in float, in vectors. After each strip their sums are added in double.
constexpr std::size_t kLanes = 16, kStrip = 16 * kLanes;

// e^x with a relative error of 1e-7; 0 below -87. x = n ln 2 + r with |r| <= ln 2 / 2, and the series of e^r.
inline float FastExp(float x) {
  constexpr float kRounder = 0x1.8p23f;  // what is added to it is rounded to an integer, in the low bits
  constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  const float within = std::max(x, -87.0f);
  const float shifted = within * 0x1.715476p0f + kRounder, n = shifted - kRounder;
  const float r = (within - n * kLn2High) - n * kLn2Low;
  float e = 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  const std::int32_t exponent =
      std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRounder) + 127;
  return x < -87.0f ? 0.0f : e * std::bit_cast<float>(exponent << 23);
}

// The sum of term(i) over [0, n).
template <class Term>
double Sum(std::size_t n, Term&& term) {
  double sum = 0;
  for (std::size_t first = 0; first < n; first += kStrip) {
    const std::size_t end = std::min(n, first + kStrip), whole = first + (end - first) / kLanes * kLanes;
    float lanes[kLanes] = {};
    for (std::size_t i = first; i < whole; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (const float lane : lanes) sum += lane;
    for (std::size_t i = whole; i < end; ++i) sum += term(i);
  }
  return sum;
}

float Highest(std::span<const float> x) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, x[0]);
  const std::size_t whole = x.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = std::max(lanes[lane], x[i + lane]);
  }
  for (std::size_t i = whole; i < x.size(); ++i) lanes[0] = std::max(lanes[0], x[i]);
  return *std::ranges::max_element(lanes);
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  const float highest = Highest(logits);
  return highest + std::log(Sum(logits.size(), [&](std::size_t i) { return FastExp(logits[i] - highest); }));
}

double NegativeLogLikelihood(std::span<const float> logits, std::int32_t target) {
  return LogSumExp(logits) - logits[target];
}

double KlDivergence(std::span<const float> p, std::span<const float> q) {
  // The weighted difference of the logits, minus the difference of the totals.
  const double p_total = LogSumExp(p), q_total = LogSumExp(q);
  const auto shift = static_cast<float>(p_total);
  const double nearer = Sum(p.size(), [&](std::size_t i) { return FastExp(p[i] - shift) * (p[i] - q[i]); });
  const double divergence = nearer - (p_total - q_total);
  return divergence < 0 ? 0.0 : divergence;  // rounding can give less than 0; a NaN stays a NaN
}

}  // namespace longspan
