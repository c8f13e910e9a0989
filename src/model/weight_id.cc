#include "model/weight_id.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace longspan {
namespace {

using enum PartKind;

constexpr std::string_view kGgufLayers = "blk.";

std::int64_t One(const LlamaConfig&) { return 1; }
std::int64_t Dim(const LlamaConfig& c) { return c.dim; }
std::int64_t Q(const LlamaConfig& c) { return c.q_dim(); }
std::int64_t Kv(const LlamaConfig& c) { return c.kv_dim(); }
std::int64_t Hidden(const LlamaConfig& c) { return c.hidden_dim; }
std::int64_t Vocabulary(const LlamaConfig& c) { return c.vocab_size; }

// Columns as in PartTraits.
constexpr std::array<PartTraits, 15> kParts{{
    {Part::kEmbedding, kMatrix, false, false, "embedding", "token_embd", "model.embed_tokens", Vocabulary,
     Dim},
    {Part::kAttentionNorm, kNorm, true, false, "attention_norm", "attn_norm", "input_layernorm", One, Dim},
    {Part::kQ, kMatrix, true, true, "q", "attn_q", "self_attn.q_proj", Q, Dim},
    {Part::kK, kMatrix, true, true, "k", "attn_k", "self_attn.k_proj", Kv, Dim},
    {Part::kV, kMatrix, true, false, "v", "attn_v", "self_attn.v_proj", Kv, Dim},
    {Part::kQBias, kBias, true, true, "q_bias", "attn_q", "self_attn.q_proj", One, Q},
    {Part::kKBias, kBias, true, true, "k_bias", "attn_k", "self_attn.k_proj", One, Kv},
    {Part::kVBias, kBias, true, false, "v_bias", "attn_v", "self_attn.v_proj", One, Kv},
    {Part::kO, kMatrix, true, false, "o", "attn_output", "self_attn.o_proj", Dim, Q},
    {Part::kMlpNorm, kNorm, true, false, "mlp_norm", "ffn_norm", "post_attention_layernorm", One, Dim},
    {Part::kGate, kMatrix, true, false, "gate", "ffn_gate", "mlp.gate_proj", Hidden, Dim},
    {Part::kUp, kMatrix, true, false, "up", "ffn_up", "mlp.up_proj", Hidden, Dim},
    {Part::kDown, kMatrix, true, false, "down", "ffn_down", "mlp.down_proj", Dim, Hidden},
    {Part::kOutputNorm, kNorm, false, false, "output_norm", "output_norm", "model.norm", One, Dim},
    {Part::kOutput, kMatrix, false, false, "output", "output", "lm_head", Vocabulary, Dim},
}};

std::string_view Suffix(const PartTraits& traits) { return traits.kind == kBias ? ".bias" : ".weight"; }

}  // namespace

std::vector<std::int64_t> PartTraits::Shape(const LlamaConfig& config) const {
  if (kind != kMatrix) return {cols(config)};
  return {rows(config), cols(config)};
}

std::span<const PartTraits> AllParts() { return kParts; }

const PartTraits& Traits(Part part) { return kParts[static_cast<std::size_t>(part)]; }

std::optional<Part> PartNamed(std::string_view name) {
  const auto* found = std::ranges::find(kParts, name, &PartTraits::name);
  return found == kParts.end() ? std::nullopt : std::optional(found->part);
}

std::string Name(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  return traits.in_layer ? fmt::format("layers.{}.{}", id.layer, traits.name) : std::string(traits.name);
}

std::string GgufName(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  const std::string layer = traits.in_layer ? fmt::format("{}{}.", kGgufLayers, id.layer) : "";
  return fmt::format("{}{}{}", layer, traits.gguf, Suffix(traits));
}

std::optional<WeightId> ParseGgufName(std::string_view name) {
  const std::optional<LayerName> layer = ParseGgufLayer(name);
  const std::string_view rest = layer ? layer->rest : name;
  for (const PartTraits& traits : kParts) {
    if (traits.in_layer == layer.has_value() && rest.starts_with(traits.gguf) &&
        rest.substr(traits.gguf.size()) == Suffix(traits))
      return WeightId{layer ? layer->layer : -1, traits.part};
  }
  return std::nullopt;
}

std::string HfModule(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  return traits.in_layer ? fmt::format("model.layers.{}.{}", id.layer, traits.hf) : std::string(traits.hf);
}

std::string HfName(WeightId id) { return fmt::format("{}{}", HfModule(id), Suffix(Traits(id.part))); }

// A number is accepted only as longspan writes it: without a sign or leading zeros.
std::optional<LayerName> ParseGgufLayer(std::string_view name) {
  if (!name.starts_with(kGgufLayers)) return std::nullopt;
  name.remove_prefix(kGgufLayers.size());
  const std::string_view digits = name.substr(0, name.find('.'));
  std::uint32_t layer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || digits.size() == name.size() || (digits.size() > 1 && digits.front() == '0'))
    return std::nullopt;
  return LayerName{layer, name.substr(digits.size() + 1)};
}

}  // namespace longspan
