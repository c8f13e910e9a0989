#include "convert/hf_rope.h"

#include <optional>

#include "base/error.h"
#include "convert/decimal.h"
#include "formats/byte_reader.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "model/rope_scaling.h"

namespace longspan {
namespace {

using Kind = RopeScaling::Kind;

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
        fmt::format("{}: dynamic scaling acts only beyond {} tokens, and GGUF cannot express it: left out",
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

// GGUF's llama rotates all dimensions of a head. transformers 5 has the key beside theta; older files have it
// outside.
void RefusePartialRotation(const JsonObject& json) {
  const double share = json.Or<double>("partial_rotary_factor", 1.0);
  if (share == 1.0) return;
  Fail(ErrorKind::kUnsupported, "{}: partial_rotary_factor is {}, expected 1", json.where(), share);
}

}  // namespace

void ReadHfRope(const JsonObject& json, LlamaConfig& config, Progress& progress) {
  std::optional<JsonObject> rope = json.FindObject("rope_parameters");
  if (!rope) rope = json.FindObject("rope_scaling");
  config.rope_theta = json.Or<double>("rope_theta", 10000.0);
  RefusePartialRotation(json);
  if (!rope) return;
  RefusePartialRotation(*rope);
  rope->RefuseUnlessEmpty("mrope_section");
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
      Fail(ErrorKind::kUnsupported, "config.json cannot express ntk scaling; raise rope_theta instead");
    case Kind::kYarn:
      begin("yarn");
      out["original_max_position_embeddings"] = s.original_context;
      out["beta_fast"] = AsWritten(s.beta_fast);
      out["beta_slow"] = AsWritten(s.beta_slow);
      if (s.attention_factor != 0) out["attention_factor"] = AsWritten(s.attention_factor);
      return;
    case Kind::kLlama3:
      begin("llama3");
      out.erase("type");  // llama3 came after the key was renamed
      out["original_max_position_embeddings"] = s.original_context;
      out["low_freq_factor"] = s.low_frequency_factor;
      out["high_freq_factor"] = s.high_frequency_factor;
      return;
  }
}

RopeScaling Llama3ScalingOf(const Tensor& factors, const LlamaConfig& config, const std::string& where) {
  if (const auto scaling = FindLlama3Scaling(factors, config)) return *scaling;
  Fail(ErrorKind::kUnsupported, "{}: {} is not llama3 scaling, and config.json cannot express another", where,
       kRopeFactorsTensor);
}

}  // namespace longspan
