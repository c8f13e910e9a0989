#include "model/weight_id.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace longspan {
namespace {

using enum PartKind;

constexpr std::string_view kLayers = "layers.", kGgufLayers = "blk.";

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

// Splits "layers.3.q" into 3 and "q". A number is accepted only as longspan writes it: without a sign or
// leading zeros.
std::optional<LayerName> ParseLayer(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const std::string_view digits = name.substr(0, name.find('.'));
  std::uint32_t layer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || digits.size() == name.size() || (digits.size() > 1 && digits.front() == '0'))
    return std::nullopt;
  return LayerName{layer, name.substr(digits.size() + 1)};
}

}  // namespace

std::vector<std::int64_t> PartTraits::Shape(const LlamaConfig& config) const {
  if (kind != kMatrix) return {cols(config)};
  return {rows(config), cols(config)};
}

std::span<const PartTraits> AllParts() { return kParts; }

const PartTraits& Traits(Part part) { return kParts[static_cast<std::size_t>(part)]; }

std::string Name(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  return traits.in_layer ? fmt::format("{}{}.{}", kLayers, id.layer, traits.name) : std::string(traits.name);
}

std::optional<WeightId> ParseWeightId(std::string_view name) {
  const auto layer = ParseLayer(name, kLayers);
  for (const PartTraits& traits : kParts) {
    if (traits.in_layer == layer.has_value() && traits.name == (layer ? layer->rest : name))
      return WeightId{layer ? layer->layer : -1, traits.part};
  }
  return std::nullopt;
}

WeightId WeightNamed(std::string_view name) {
  if (const auto id = ParseWeightId(name)) return *id;
  Fail(ErrorKind::kInternal, "no weight is called {}", name);
}

std::string GgufName(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  const std::string layer = traits.in_layer ? fmt::format("{}{}.", kGgufLayers, id.layer) : "";
  return fmt::format("{}{}{}", layer, traits.gguf, Suffix(traits));
}

std::string HfModule(WeightId id) {
  const PartTraits& traits = Traits(id.part);
  return traits.in_layer ? fmt::format("model.layers.{}.{}", id.layer, traits.hf) : std::string(traits.hf);
}

std::string HfName(WeightId id) { return fmt::format("{}{}", HfModule(id), Suffix(Traits(id.part))); }

std::optional<LayerName> ParseGgufLayer(std::string_view name) { return ParseLayer(name, kGgufLayers); }

}  // namespace longspan
