#include "formats/llama3_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;

constexpr double kTolerance = 1e-5;  // other converters compute the divisors in F32

// The part of a frequency that llama3 scaling keeps, from its divisor, which is 1 / (kept + (1 - kept) /
// factor).
double Kept(double divisor, double factor) { return (1 / divisor - 1 / factor) / (1 - 1 / factor); }

bool Makes(const RopeScaling& scaling, const LlamaConfig& config, std::span<const float> divisors) {
  LlamaConfig trial = config;
  trial.rope_scaling = scaling;
  if (!(scaling.high_frequency_factor > scaling.low_frequency_factor && scaling.low_frequency_factor > 0))
    return false;
  const Tensor made = Llama3RopeFactors(trial);
  return std::ranges::equal(made.floats(), divisors,
                            [](float a, float b) { return std::abs(a - b) <= kTolerance * std::abs(b); });
}

// Kept is linear in turns, (turns - low) / (high - low), and turns are proportional to original_context. So
// two dimensions on the slope give the line, for a given original_context.
std::optional<RopeScaling> FitLine(RopeScaling scaling, const LlamaConfig& config,
                                   std::span<const float> divisors) {
  std::vector<std::pair<double, double>> slope;  // turns, kept
  for (std::size_t j = 0; j < divisors.size(); ++j) {
    const double kept = Kept(divisors[j], scaling.factor);
    if (kept < 0.001 || kept > 0.999) continue;
    const double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(config.head_dim));
    slope.emplace_back(static_cast<double>(scaling.original_context) * frequency / (2 * std::numbers::pi),
                       kept);
  }
  if (slope.size() < 2) return std::nullopt;
  const auto [t0, k0] = slope.front();
  const auto [t1, k1] = slope.back();
  const double per_turn = (k1 - k0) / (t1 - t0);
  if (!std::isfinite(per_turn) || per_turn <= 0) return std::nullopt;
  // Files are written with round numbers, so this removes the rounding errors of F32.
  const auto tidy = [](double x) { return std::round(x * 1e4) / 1e4; };
  scaling.low_frequency_factor = tidy(t0 - k0 / per_turn);
  scaling.high_frequency_factor = tidy(t0 - k0 / per_turn + 1 / per_turn);
  return scaling;
}

}  // namespace

Tensor Llama3RopeFactors(const LlamaConfig& c) {
  const RopeScaling& s = c.rope_scaling;
  if (s.original_context < 1 || !(s.high_frequency_factor > s.low_frequency_factor)) {
    Fail(ErrorKind::kInvalidFile,
         "llama3 rope scaling needs an original context and a high above a low frequency factor, found {}, "
         "{} and {}",
         s.original_context, s.high_frequency_factor, s.low_frequency_factor);
  }
  Tensor factors = Tensor::Allocate(Type::kF32, {c.head_dim / 2});
  const auto original = static_cast<double>(s.original_context);
  const std::span<float> out = factors.mutable_floats();
  for (std::size_t j = 0; j < out.size(); ++j) {
    const double frequency =
        std::pow(c.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(c.head_dim));
    const double turns = original * frequency / (2.0 * std::numbers::pi);  // over the original window
    const double kept = std::clamp(
        (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor), 0.0, 1.0);
    out[j] = static_cast<float>(1.0 / (kept + (1.0 - kept) / s.factor));
  }
  return factors;
}

std::optional<RopeScaling> FindLlama3Scaling(const Tensor& factors, const LlamaConfig& config) {
  const Tensor decoded = factors.ToF32();
  const std::span<const float> divisors = decoded.floats();
  const bool sane = std::ranges::all_of(divisors, [](float f) { return std::isfinite(f) && f >= 1; });
  if (!sane || divisors.empty()) return std::nullopt;
  if (std::ranges::all_of(divisors, [](float f) { return f == 1; })) return config.rope_scaling;
  if (config.rope_scaling.kind != Kind::kNone) return std::nullopt;
  RopeScaling scaling;
  scaling.kind = Kind::kLlama3;
  scaling.factor = *std::ranges::max_element(divisors);
  scaling.original_context = 8192;
  scaling.low_frequency_factor = 1;  // Llama 3.1's and 3.2's own
  scaling.high_frequency_factor = 4;
  if (Makes(scaling, config, divisors)) return scaling;
  const auto fitted = FitLine(scaling, config, divisors);
  return fitted && Makes(*fitted, config, divisors) ? fitted : std::nullopt;
}

}  // namespace longspan
