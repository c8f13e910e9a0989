#include "convert/hf_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "convert/decimal.h"
#include "convert/hf_rope.h"
#include "formats/byte_reader.h"
#include "formats/json_object.h"
#include "model/architecture.h"

namespace longspan {
namespace {

constexpr std::uint64_t kMaxConfig = 1 << 20;

// A class of transformers, with its defaults for what config.json leaves out.
struct Family {
  std::string_view class_name;
  std::string_view model_type;
  Architecture architecture;
  std::int64_t context;
  std::int64_t kv_heads;        // 0: as many as heads
  std::int64_t sliding_window;  // 0: none
};
constexpr std::array<Family, 3> kFamilies{{
    {"LlamaForCausalLM", "llama", Architecture::kLlama, 2048, 0, 0},
    {"MistralForCausalLM", "mistral", Architecture::kLlama, 131072, 8, 4096},
    {"Qwen2ForCausalLM", "qwen2", Architecture::kQwen2, 32768, 32, 4096},
}};

const Family& FindFamily(const JsonObject& json) {
  const nlohmann::json* list = json.FindValue("architectures");
  const bool is_name = list != nullptr && list->is_array() && list->size() == 1 && list->front().is_string();
  std::string name = is_name ? list->front().get<std::string>() : "";
  if (name == "LLaMAForCausalLM") name = "LlamaForCausalLM";  // as the first conversions wrote it
  for (const Family& family : kFamilies) {
    if (family.class_name == name) return family;
  }
  Fail(ErrorKind::kUnsupported,
       "{}: architecture {}, expected LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM", json.where(),
       is_name ? Printable(name) : "is missing");
}

// Refuses what changes the arithmetic in ways that GGUF's llama and qwen2 do not have.
void RefuseOthers(const JsonObject& json) {
  for (const char* key : {"quantization_config", "mlp_bias", "num_local_experts", "use_mrope"}) {
    json.RefuseUnlessEmpty(key);
  }
  const auto activation = json.Or<std::string>("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    Fail(ErrorKind::kUnsupported, "{}: hidden_act {}, expected silu", json.where(), Printable(activation));
  }
}

// The window of all layers. GGUF cannot express layers that differ from each other.
std::int64_t SlidingWindow(const JsonObject& json, const Family& family, std::int64_t layers) {
  const nlohmann::json* given =
      json.value().contains("sliding_window") ? &json.value()["sliding_window"] : nullptr;
  // A missing key means the class's default; null means no window.
  const std::int64_t window =
      given == nullptr ? family.sliding_window : json.Or<std::int64_t>("sliding_window", 0);
  if (family.model_type == "llama" || window == 0) return 0;
  std::int64_t sliding = layers;  // how many layers have it
  if (const nlohmann::json* types = json.FindValue("layer_types"); types != nullptr && types->is_array()) {
    sliding = 0;
    for (const nlohmann::json& type : *types) sliding += type == "sliding_attention" ? 1 : 0;
  } else if (family.architecture == Architecture::kQwen2) {
    // Qwen2's layers from max_window_layers on have the window, if any has.
    const std::int64_t full = json.Or<std::int64_t>("max_window_layers", 28);
    sliding = json.Or<bool>("use_sliding_window", false) ? std::max<std::int64_t>(0, layers - full) : 0;
  }
  if (sliding != 0 && sliding != layers) {
    Fail(ErrorKind::kUnsupported, "{}: {} of {} layers have a sliding window, expected all or none",
         json.where(), sliding, layers);
  }
  return sliding == 0 ? 0 : window;
}

std::string FolderName(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

// The token ids that config.json and generation_config.json share with the tokenizer.
void SetTokenIds(const GgufMetadata& metadata, nlohmann::ordered_json& json) {
  constexpr std::array<std::pair<const char*, const char*>, 3> kIds{{
      {"bos_token_id", "tokenizer.ggml.bos_token_id"},
      {"eos_token_id", "tokenizer.ggml.eos_token_id"},
      {"pad_token_id", "tokenizer.ggml.padding_token_id"},
  }};
  for (const auto& [ours, theirs] : kIds) {
    if (const auto id = metadata.Find<std::uint32_t>(theirs)) json[ours] = *id;
  }
}

const Family& FamilyOf(const LlamaConfig& config) {
  if (config.architecture == Architecture::kQwen2) return kFamilies[2];
  return kFamilies[config.sliding_window > 0 ? 1 : 0];
}

std::string_view TorchName(Type type) {
  return type == Type::kF32 ? "float32" : type == Type::kF16 ? "float16" : "bfloat16";
}

}  // namespace

LlamaConfig ReadHfConfig(const std::filesystem::path& folder, Progress& progress) {
  const JsonObject json = JsonObject::Read(folder / "config.json", kMaxConfig);
  const Family& family = FindFamily(json);
  RefuseOthers(json);
  LlamaConfig c;
  c.name = FolderName(folder);
  c.architecture = family.architecture;
  c.vocab_size = json.Get<std::int64_t>("vocab_size");
  c.dim = json.Get<std::int64_t>("hidden_size");
  c.hidden_dim = json.Get<std::int64_t>("intermediate_size");
  c.layers = json.Get<std::int64_t>("num_hidden_layers");
  c.heads = json.Get<std::int64_t>("num_attention_heads");
  if (c.heads < 1)
    Fail(ErrorKind::kInvalidFile, "{}: num_attention_heads is {}, expected 1 or more", json.where(), c.heads);
  const bool says_kv = json.value().contains("num_key_value_heads");
  c.kv_heads = json.Or<std::int64_t>("num_key_value_heads",
                                     says_kv || family.kv_heads == 0 ? c.heads : family.kv_heads);
  c.head_dim = json.Or<std::int64_t>("head_dim", c.dim / c.heads);
  c.context = json.Or<std::int64_t>("max_position_embeddings", family.context);
  c.norm_epsilon = json.Or<double>("rms_norm_eps", 1e-6);
  c.tied_embeddings = json.Or<bool>("tie_word_embeddings", false);
  c.attention_bias = Traits(family.architecture).always_biased || json.Or<bool>("attention_bias", false);
  c.sliding_window = SlidingWindow(json, family, c.layers);
  ReadHfRope(json, c, progress);
  c.Validate(json.where());
  return c;
}

std::string HfConfigText(const LlamaConfig& c, const GgufMetadata& metadata, Type type) {
  const Family& family = FamilyOf(c);
  nlohmann::ordered_json json;
  json["architectures"] = {family.class_name};
  json["model_type"] = family.model_type;
  SetTokenIds(metadata, json);
  json["vocab_size"] = c.vocab_size;
  json["hidden_size"] = c.dim;
  json["intermediate_size"] = c.hidden_dim;
  json["num_hidden_layers"] = c.layers;
  json["num_attention_heads"] = c.heads;
  json["num_key_value_heads"] = c.kv_heads;
  json["head_dim"] = c.head_dim;
  json["max_position_embeddings"] = c.context;
  json["rms_norm_eps"] = AsWritten(c.norm_epsilon);
  WriteHfRope(c, json);
  json["hidden_act"] = "silu";
  json["tie_word_embeddings"] = c.tied_embeddings;
  if (family.model_type == "llama") {
    json["attention_bias"] = c.attention_bias;
    json["mlp_bias"] = false;
  } else {
    json["sliding_window"] = nullptr;
    if (c.sliding_window > 0) json["sliding_window"] = c.sliding_window;
  }
  if (c.architecture == Architecture::kQwen2) {
    json["use_sliding_window"] = c.sliding_window > 0;
    json["max_window_layers"] = c.sliding_window > 0 ? 0 : c.layers;
  }
  json["attention_dropout"] = 0.0;
  json["initializer_range"] = 0.02;
  json["torch_dtype"] = TorchName(type);
  json["use_cache"] = true;
  return JsonText(json);
}

void WriteHfConfig(const std::filesystem::path& folder, const LlamaConfig& config,
                   const GgufMetadata& metadata, Type type) {
  WriteFile(folder / "config.json", HfConfigText(config, metadata, type));
}

}  // namespace longspan
