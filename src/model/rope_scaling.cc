#include "model/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "model/architecture.h"

namespace longspan {
namespace {

using std::numbers::pi;

// The pair, as a fractional index, that turns `rotations` times over the original window: YaRN's c(n).
double PairOfRotations(double rotations, double head_dim, double theta, double window) {
  return head_dim * std::log(window / (2 * pi * rotations)) / (2 * std::log(theta));
}

void ApplyYarn(const LlamaConfig& c, RopeFrequencies& f) {
  const RopeScaling& s = c.rope_scaling;
  const auto head_dim = static_cast<double>(c.head_dim);
  const auto window = static_cast<double>(s.original_context);
  const double low = std::max(0.0, std::floor(PairOfRotations(s.beta_fast, head_dim, c.rope_theta, window)));
  double high =
      std::min(head_dim - 1, std::ceil(PairOfRotations(s.beta_slow, head_dim, c.rope_theta, window)));
  if (high <= low) high = low + 0.001;
  for (std::size_t j = 0; j < f.inverse.size(); ++j) {
    const double keep = 1 - std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
    f.inverse[j] *= keep + (1 - keep) / s.factor;
  }
  f.magnitude = s.attention_factor > 0 ? s.attention_factor : YarnMagnitude(s.factor);
}

void ApplyLlama3(const LlamaConfig& c, RopeFrequencies& f) {
  const RopeScaling& s = c.rope_scaling;
  const auto window = static_cast<double>(s.original_context);
  for (double& inverse : f.inverse) {
    const double rotations = window * inverse / (2 * pi);
    const double smooth = std::clamp(
        (rotations - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor), 0.0, 1.0);
    inverse *= smooth + (1 - smooth) / s.factor;
  }
}

}  // namespace

double YarnMagnitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

RopeFrequencies MakeRopeFrequencies(const LlamaConfig& c, std::span<const float> factors) {
  const RopeScaling& s = c.rope_scaling;
  const auto head_dim = static_cast<double>(c.head_dim);
  const bool needs_window = s.kind == RopeScaling::Kind::kYarn || s.kind == RopeScaling::Kind::kLlama3;
  if (needs_window && s.original_context <= 0) {
    Fail(ErrorKind::kInvalidFile, "{} rope scaling needs the original context length", Name(s.kind));
  }
  double theta = c.rope_theta;
  if (s.kind == RopeScaling::Kind::kNtk) theta *= std::pow(s.factor, head_dim / (head_dim - 2));

  RopeFrequencies f;
  f.pairing = Traits(c.architecture).pairing;
  for (std::int64_t j = 0; j < c.head_dim / 2; ++j) {
    f.inverse.push_back(std::pow(theta, -2.0 * static_cast<double>(j) / head_dim));
  }
  switch (s.kind) {
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kNtk: break;
    case RopeScaling::Kind::kLinear:
      for (double& inverse : f.inverse) inverse /= s.factor;
      break;
    case RopeScaling::Kind::kYarn: ApplyYarn(c, f); break;
    case RopeScaling::Kind::kLlama3: ApplyLlama3(c, f); break;
  }
  // A file's factors already express llama3 scaling, so they are not applied on top of it.
  if (s.kind != RopeScaling::Kind::kLlama3) {
    for (std::size_t j = 0; j < factors.size() && j < f.inverse.size(); ++j) f.inverse[j] /= factors[j];
  }
  return f;
}

}  // namespace longspan
