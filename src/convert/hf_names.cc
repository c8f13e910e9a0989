#include "convert/hf_names.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/error.h"

namespace longspan {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kLayerNames{{
    {"attention_norm", "input_layernorm.weight"},
    {"q", "self_attn.q_proj.weight"},
    {"k", "self_attn.k_proj.weight"},
    {"v", "self_attn.v_proj.weight"},
    {"q_bias", "self_attn.q_proj.bias"},
    {"k_bias", "self_attn.k_proj.bias"},
    {"v_bias", "self_attn.v_proj.bias"},
    {"o", "self_attn.o_proj.weight"},
    {"mlp_norm", "post_attention_layernorm.weight"},
    {"gate", "mlp.gate_proj.weight"},
    {"up", "mlp.up_proj.weight"},
    {"down", "mlp.down_proj.weight"},
}};

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

std::string HfTensorName(std::string_view name) {
  if (name == "embedding") return "model.embed_tokens.weight";
  if (name == "output_norm") return "model.norm.weight";
  if (name == "output") return "lm_head.weight";
  const std::string_view part = LastPart(name);
  for (const auto& [ours, theirs] : kLayerNames) {
    if (part == ours)
      return fmt::format("model.{}.{}", name.substr(0, name.size() - part.size() - 1), theirs);
  }
  Fail(ErrorKind::kInternal, "no Hugging Face name for tensor {}", name);
}

bool IsRedundantHfTensor(std::string_view hf_name) { return hf_name.ends_with("rotary_emb.inv_freq"); }

bool HasRotatedRows(std::string_view name) {
  const std::string_view part = LastPart(name);
  return part == "q" || part == "k" || part == "q_bias" || part == "k_bias";
}

}  // namespace longspan
