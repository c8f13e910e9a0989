#include "convert/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <span>

#include "base/error.h"
#include "convert/decimal.h"
#include "formats/byte_reader.h"
#include "formats/llama_gguf.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;
constexpr double kTolerance = 1e-5;  // other converters compute the divisors in F32

double YarnMagnitude(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

RopeScaling ReadYarn(const JsonObject& rope, std::int64_t window) {
  RopeScaling s;
  s.kind = Kind::kYarn;
  s.factor = rope.Get<double>("factor");
  s.original_context = rope.Or<std::int64_t>("original_max_position_embeddings", window);
  s.beta_fast = rope.Or<double>("beta_fast", s.beta_fast);
  s.beta_slow = rope.Or<double>("beta_slow", s.beta_slow);
  s.attention_factor = rope.Or<double>("attention_factor", 0.0);
  // DeepSeek's way of saying the same.
  const double mscale = rope.Or<double>("mscale", 0.0), all = rope.Or<double>("mscale_all_dim", 0.0);
  if (s.attention_factor == 0 && mscale != 0 && all != 0) {
    s.attention_factor = YarnMagnitude(s.factor, mscale) / YarnMagnitude(s.factor, all);
  }
  if (!rope.Or<bool>("truncate", true)) {
    Fail(ErrorKind::kUnsupported, "{}: truncate is false; YaRN's bounds are always whole dimensions here",
         rope.where());
  }
  return s;
}

RopeScaling ReadScaling(const JsonObject& rope, std::int64_t window, Progress& progress) {
  const std::string type = rope.Or<std::string>("rope_type", rope.Or<std::string>("type", "default"));
  RopeScaling s;
  if (type == "default" || type == "none") return s;
  if (type == "yarn") return ReadYarn(rope, window);
  if (type == "dynamic") {
    progress.Message(
        fmt::format("{}: dynamic scaling acts beyond {} tokens only, and GGUF has no word for it: left out",
                    rope.where(), window));
    return s;
  }
  if (type == "linear") {
    s.kind = Kind::kLinear;
    s.factor = rope.Get<double>("factor");
    return s;
  }
  if (type == "llama3") {
    s.kind = Kind::kLlama3;
    s.factor = rope.Get<double>("factor");
    s.original_context = rope.Get<std::int64_t>("original_max_position_embeddings");
    s.low_frequency_factor = rope.Get<double>("low_freq_factor");
    s.high_frequency_factor = rope.Get<double>("high_freq_factor");
    return s;
  }
  Fail(ErrorKind::kUnsupported, "{}: type {}, expected default, linear, dynamic, yarn or llama3",
       rope.where(), Printable(type));
}

// What llama3 scaling keeps of a frequency, from the divisor: f = 1 / (kept + (1 - kept) / factor).
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

// Kept is a line over turns, (turns - low) / (high - low), and turns go with original_context: two dimensions
// on the slope give the line, for one choice of the window.
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
  // Files are written with round numbers; what is off by a rounding error of F32 is brought back to them.
  const auto tidy = [](double x) { return std::round(x * 1e4) / 1e4; };
  scaling.low_frequency_factor = tidy(t0 - k0 / per_turn);
  scaling.high_frequency_factor = tidy(t0 - k0 / per_turn + 1 / per_turn);
  return scaling;
}

}  // namespace

void ReadHfRope(const JsonObject& json, LlamaConfig& config, Progress& progress) {
  std::optional<JsonObject> rope = json.FindObject("rope_parameters");
  if (!rope) rope = json.FindObject("rope_scaling");
  config.rope_theta = json.Or<double>("rope_theta", 10000.0);
  if (json.Or<double>("partial_rotary_factor", 1.0) != 1.0) {
    Fail(ErrorKind::kUnsupported, "{}: partial_rotary_factor is {}, expected 1", json.where(),
         json.Get<double>("partial_rotary_factor"));
  }
  if (!rope) return;
  if (rope->Has("full_attention") || rope->Has("sliding_attention")) {
    Fail(ErrorKind::kUnsupported, "{}: differs between kinds of layers", rope->where());
  }
  config.rope_theta = rope->Or<double>("rope_theta", config.rope_theta);
  config.rope_scaling = ReadScaling(*rope, config.context, progress);
}

void WriteHfRope(const LlamaConfig& config, nlohmann::ordered_json& json) {
  const RopeScaling& s = config.rope_scaling;
  json["rope_theta"] = AsWritten(config.rope_theta);
  nlohmann::ordered_json& out = json["rope_scaling"];
  out = nullptr;
  const auto begin = [&](const char* type) {
    out = {{"rope_type", type}, {"type", type}, {"factor", AsWritten(s.factor)}};
  };
  switch (s.kind) {
    case Kind::kNone: return;
    case Kind::kLinear: return begin("linear");
    case Kind::kNtk:
      Fail(ErrorKind::kUnsupported, "config.json has no word for ntk scaling; raise rope_theta instead");
    case Kind::kYarn:
      begin("yarn");
      out["original_max_position_embeddings"] = s.original_context;
      out["beta_fast"] = AsWritten(s.beta_fast);
      out["beta_slow"] = AsWritten(s.beta_slow);
      if (s.attention_factor != 0) out["attention_factor"] = AsWritten(s.attention_factor);
      return;
    case Kind::kLlama3:
      begin("llama3");
      out.erase("type");  // came after the key was renamed
      out["original_max_position_embeddings"] = s.original_context;
      out["low_freq_factor"] = s.low_frequency_factor;
      out["high_freq_factor"] = s.high_frequency_factor;
      return;
  }
}

RopeScaling Llama3ScalingOf(const Tensor& factors, const LlamaConfig& config, const std::string& where) {
  const Tensor decoded = factors.ToF32();
  const std::span<const float> divisors = decoded.floats();
  RopeScaling scaling;
  const bool sane = std::ranges::all_of(divisors, [](float f) { return std::isfinite(f) && f >= 1; });
  if (sane && std::ranges::all_of(divisors, [](float f) { return f == 1; })) return scaling;
  if (config.rope_scaling.kind == Kind::kNone && sane && !divisors.empty()) {
    scaling.kind = Kind::kLlama3;
    scaling.factor = *std::ranges::max_element(divisors);
    scaling.original_context = 8192;
    scaling.low_frequency_factor = 1;  // Llama 3.1's and 3.2's own
    scaling.high_frequency_factor = 4;
    if (Makes(scaling, config, divisors)) return scaling;
    const auto fitted = FitLine(scaling, config, divisors);
    if (fitted && Makes(*fitted, config, divisors)) return *fitted;
  }
  Fail(ErrorKind::kUnsupported, "{}: {} is no llama3 scaling, and config.json has no word for another", where,
       kRopeFactorsTensor);
}

}  // namespace longspan
