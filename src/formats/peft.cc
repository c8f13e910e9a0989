#include "formats/peft.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "formats/json_object.h"
#include "formats/llama_gguf.h"
#include "formats/rope_order.h"
#include "formats/safetensors.h"

namespace longspan {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxConfig = 1 << 20;
constexpr std::int64_t kMaxRank = 1 << 16;
constexpr std::string_view kConfigName = "adapter_config.json";
constexpr std::string_view kTensorsName = "adapter_model.safetensors";
constexpr std::string_view kPeftPrefix = "base_model.model.model.layers.";

// A projection by longspan's name and by Hugging Face's.
struct Projection {
  std::string_view name;
  std::string_view module;  // below the layer
  std::string_view block;
  bool rotated;  // by RoPE, so that the order of rows matters
};
constexpr std::array<Projection, 7> kProjections{{{"q", "q_proj", "self_attn", true},
                                                  {"k", "k_proj", "self_attn", true},
                                                  {"v", "v_proj", "self_attn", false},
                                                  {"o", "o_proj", "self_attn", false},
                                                  {"gate", "gate_proj", "mlp", false},
                                                  {"up", "up_proj", "mlp", false},
                                                  {"down", "down_proj", "mlp", false}}};

// A target "layers.3.q" taken apart.
struct Target {
  std::int64_t layer;
  const Projection* projection;
};

std::optional<std::int64_t> ParseLayer(std::string_view digits) {
  if (digits.empty() || digits.size() > 6) return std::nullopt;
  std::int64_t n = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    n = 10 * n + (c - '0');
  }
  return n;
}

std::optional<Target> ParseTarget(std::string_view target) {
  constexpr std::string_view kPrefix = "layers.";
  if (!target.starts_with(kPrefix)) return std::nullopt;
  target.remove_prefix(kPrefix.size());
  const std::size_t dot = target.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto layer = ParseLayer(target.substr(0, dot));
  for (const Projection& p : kProjections) {
    if (layer && p.name == target.substr(dot + 1)) return Target{*layer, &p};
  }
  return std::nullopt;
}

struct PairPlace {
  std::string target;
  bool is_b;
};

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight" is the A of "layers.3.q".
std::optional<PairPlace> ParsePeftName(std::string_view name) {
  if (!name.starts_with(kPeftPrefix)) return std::nullopt;
  name.remove_prefix(kPeftPrefix.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto layer = ParseLayer(name.substr(0, dot));
  if (!layer) return std::nullopt;
  for (const Projection& p : kProjections) {
    const std::string stem = fmt::format(".{}.{}.lora_", p.block, p.module);
    const std::string_view rest = name.substr(dot);
    if (!rest.starts_with(stem)) continue;
    const std::string_view tail = rest.substr(stem.size());
    // Some versions of PEFT keep the adapter's own name in the tensor's.
    const bool a = tail == "A.weight" || tail == "A.default.weight";
    const bool b = tail == "B.weight" || tail == "B.default.weight";
    if (a || b) return PairPlace{fmt::format("layers.{}.{}", *layer, p.name), b};
  }
  return std::nullopt;
}

std::string PeftName(std::string_view target, char which) {
  const auto parsed = ParseTarget(target);
  if (!parsed) Fail(ErrorKind::kInternal, "'{}' is no target of an adapter", target);
  return fmt::format("{}{}.{}.{}.lora_{}.weight", kPeftPrefix, parsed->layer, parsed->projection->block,
                     parsed->projection->module, which);
}

// Whether Hugging Face has the rows in another order than GGUF.
bool IsPermuted(std::string_view target, const LlamaConfig& config) {
  const auto parsed = ParseTarget(target);
  return config.architecture == Architecture::kLlama && parsed && parsed->projection->rotated;
}

// {out, in} of a projection.
std::pair<std::int64_t, std::int64_t> Measures(const LlamaConfig& c, std::string_view projection) {
  if (projection == "q") return {c.q_dim(), c.dim};
  if (projection == "k" || projection == "v") return {c.kv_dim(), c.dim};
  if (projection == "o") return {c.dim, c.q_dim()};
  if (projection == "down") return {c.dim, c.hidden_dim};
  return {c.hidden_dim, c.dim};
}

std::vector<LoraAdapter::Pair> CollectPairs(std::map<std::string, LoraAdapter::Pair>& found,
                                            const std::string& where) {
  std::vector<LoraAdapter::Pair> pairs;
  for (auto& [target, pair] : found) {
    if (pair.a.empty() || pair.b.empty()) {
      Fail(ErrorKind::kInvalidFile, "{}: {} has only one of its two matrices", where, target);
    }
    pair.target = target;
    pairs.push_back(std::move(pair));
  }
  // Layers in their order, "layers.2" before "layers.10".
  std::ranges::sort(pairs, {}, [](const LoraAdapter::Pair& p) {
    const Target t = *ParseTarget(p.target);
    return std::pair(t.layer, t.projection);
  });
  return pairs;
}

Tensor ToFloat(const Tensor& tensor) { return tensor.type() == Type::kF32 ? tensor : tensor.ToF32(); }

}  // namespace

void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where) {
  if (adapter.rank < 1 || adapter.rank > kMaxRank) {
    Fail(ErrorKind::kInvalidFile, "{}: rank {}, expected 1 to {}", where, adapter.rank, kMaxRank);
  }
  if (!std::isfinite(adapter.alpha)) Fail(ErrorKind::kInvalidFile, "{}: alpha is {}", where, adapter.alpha);
  if (adapter.pairs.empty()) Fail(ErrorKind::kInvalidFile, "{}: an adapter without tensors", where);
  std::set<std::string_view> seen;
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    const auto target = ParseTarget(pair.target);
    if (!target || target->layer >= config.layers) {
      Fail(ErrorKind::kInvalidFile, "{}: {} is no projection of a model of {} layers", where,
           Printable(pair.target), config.layers);
    }
    if (!seen.insert(pair.target).second)
      Fail(ErrorKind::kInvalidFile, "{}: {} appears twice", where, pair.target);
    const auto [out, in] = Measures(config, target->projection->name);
    const auto check = [&](const Tensor& t, std::int64_t rows, std::int64_t cols, char which) {
      if (t.shape().size() == 2 && t.rows() == rows && t.cols() == cols && t.type() == Type::kF32) return;
      Fail(ErrorKind::kInvalidFile, "{}: {} of {} is {} x {} {}, expected {} x {} F32", where, which,
           pair.target, t.rows(), t.cols(), Traits(t.type()).name, rows, cols);
    };
    check(pair.a, adapter.rank, in, 'A');
    check(pair.b, out, adapter.rank, 'B');
  }
}

PeftConfig ReadPeftConfig(const std::filesystem::path& folder) {
  const JsonObject config = JsonObject::Read(folder / kConfigName, kMaxConfig);
  const std::string& where = config.where();
  if (const auto type = config.Or<std::string>("peft_type", "LORA"); type != "LORA") {
    Fail(ErrorKind::kUnsupported, "{}: peft_type {}, expected LORA", where, Printable(type));
  }
  if (const auto bias = config.Or<std::string>("bias", "none"); bias != "none") {
    Fail(ErrorKind::kUnsupported, "{}: bias {}, expected none", where, Printable(bias));
  }
  for (const char* key : {"use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern",
                          "lora_bias", "trainable_token_indices"}) {
    config.RefuseUnlessEmpty(key);
  }
  PeftConfig out;
  out.rank = config.Or<std::int64_t>("r", 8);
  out.alpha = config.Or<double>("lora_alpha", 8.0);
  out.rslora = config.Or<bool>("use_rslora", false);
  out.dropout = config.Or<double>("lora_dropout", 0.0);
  out.base_model = config.Or<std::string>("base_model_name_or_path", "");
  if (out.rank < 1 || out.rank > kMaxRank) {
    Fail(ErrorKind::kInvalidFile, "{}: r is {}, expected 1 to {}", where, out.rank, kMaxRank);
  }
  // A list of names, or a regular expression; the tensors say what is adapted, so this is for people.
  const json* modules = config.FindValue("target_modules");
  if (modules != nullptr && modules->is_array()) {
    for (const json& m : *modules) {
      if (m.is_string()) out.target_modules.push_back(m.get<std::string>());
    }
  } else if (modules != nullptr && modules->is_string()) {
    out.target_modules.push_back(modules->get<std::string>());
  }
  return out;
}

LoraAdapter ReadPeft(const std::filesystem::path& folder, const LlamaConfig& config) {
  const PeftConfig peft = ReadPeftConfig(folder);
  const auto file = SafetensorsFile::Open(folder / kTensorsName);
  const std::string where = file->path().string();
  std::map<std::string, LoraAdapter::Pair> found;
  for (const SafetensorsEntry& entry : file->entries()) {
    const auto place = ParsePeftName(entry.name);
    if (!place) {
      Fail(ErrorKind::kUnsupported, "{}: tensor {} is no LoRA matrix of a Llama's projection", where,
           Printable(entry.name, 160));
    }
    Tensor& tensor = place->is_b ? found[place->target].b : found[place->target].a;
    if (!tensor.empty())
      Fail(ErrorKind::kInvalidFile, "{}: {} appears twice", where, Printable(entry.name, 160));
    tensor = ToFloat(file->LoadTensor(entry.name));
  }
  LoraAdapter adapter{peft.rank,    peft.alpha,      peft.rslora,
                      peft.dropout, peft.base_model, CollectPairs(found, where)};
  ValidateAdapter(adapter, config, where);
  for (LoraAdapter::Pair& pair : adapter.pairs) {
    if (IsPermuted(pair.target, config)) pair.b = PermuteRows(pair.b, config.head_dim, RopeOrder::kInterleaved);
  }
  return adapter;
}

void WritePeft(const std::filesystem::path& folder, const LoraAdapter& adapter, const LlamaConfig& config) {
  ValidateAdapter(adapter, config, folder.string());
  SafetensorsWriter writer(folder / kTensorsName);
  std::set<std::string_view> modules;
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    writer.Declare(PeftName(pair.target, 'A'), Type::kF32, pair.a.shape());
    writer.Declare(PeftName(pair.target, 'B'), Type::kF32, pair.b.shape());
    modules.insert(ParseTarget(pair.target)->projection->module);
  }
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    writer.Write(PeftName(pair.target, 'A'), pair.a.bytes());
    const Tensor b =
        IsPermuted(pair.target, config) ? PermuteRows(pair.b, config.head_dim, RopeOrder::kHalfSplit) : pair.b;
    writer.Write(PeftName(pair.target, 'B'), b.bytes());
  }
  writer.Commit();
  const json out = {{"peft_type", "LORA"},
                    {"task_type", "CAUSAL_LM"},
                    {"base_model_name_or_path", adapter.base_model},
                    {"r", adapter.rank},
                    {"lora_alpha", adapter.alpha},
                    {"use_rslora", adapter.rslora},
                    {"lora_dropout", adapter.dropout},
                    {"target_modules", modules},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"inference_mode", true},
                    {"init_lora_weights", true},
                    {"modules_to_save", nullptr}};
  // After the tensors: a folder with a configuration is a complete one.
  WriteFile(folder / kConfigName, JsonText(out));
}

void WriteGgufAdapter(const std::filesystem::path& path, const LoraAdapter& adapter,
                      Architecture architecture) {
  GgufMetadata metadata;
  metadata.Set("general.architecture", std::string(Name(architecture)));
  metadata.Set("general.type", "adapter");
  if (!adapter.base_model.empty()) metadata.Set("general.base_model.0.name", adapter.base_model);
  metadata.Set("adapter.type", "lora");
  const double stabilised = adapter.rslora ? std::sqrt(static_cast<double>(adapter.rank)) : 1.0;
  metadata.Set("adapter.lora.alpha", static_cast<float>(adapter.alpha * stabilised));
  GgufWriter writer(path, metadata);
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    writer.Declare(GgufTensorName(pair.target) + ".lora_a", Type::kF32, pair.a.shape());
    writer.Declare(GgufTensorName(pair.target) + ".lora_b", Type::kF32, pair.b.shape());
  }
  for (const LoraAdapter::Pair& pair : adapter.pairs) {
    writer.Write(GgufTensorName(pair.target) + ".lora_a", pair.a.bytes());
    writer.Write(GgufTensorName(pair.target) + ".lora_b", pair.b.bytes());
  }
  writer.Commit();
}

LoraAdapter ReadGgufAdapter(const std::filesystem::path& path, const LlamaConfig& config) {
  const auto file = GgufFile::Open(path);
  const std::string where = path.string();
  if (file->Get<std::string>("general.type") != "adapter" ||
      file->Get<std::string>("adapter.type") != "lora") {
    Fail(ErrorKind::kUnsupported, "{}: not a LoRA adapter", where);
  }
  const auto architecture = file->Find<std::string>("general.architecture");
  if (architecture && *architecture != Name(config.architecture)) {
    Fail(ErrorKind::kUnsupported, "{}: adapts the architecture '{}', the model is a {}", where, Printable(*architecture),
         Name(config.architecture));
  }
  LoraAdapter adapter;
  adapter.alpha = file->Get<double>("adapter.lora.alpha");
  adapter.base_model = file->Find<std::string>("general.base_model.0.name").value_or("");
  std::map<std::string, LoraAdapter::Pair> found;
  std::size_t used = 0;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Projection& p : kProjections) {
      const std::string target = fmt::format("layers.{}.{}", layer, p.name);
      const std::string name = GgufTensorName(target);
      const Tensor a = file->LoadTensor(name + ".lora_a");
      const Tensor b = file->LoadTensor(name + ".lora_b");
      if (a.empty() && b.empty()) continue;
      used += 2;
      adapter.rank = a.rows();
      found[target] = {target, ToFloat(a), ToFloat(b)};
    }
  }
  adapter.pairs = CollectPairs(found, where);
  if (used != file->tensors().size()) {
    Fail(ErrorKind::kUnsupported, "{}: {} tensors, of which {} adapt projections of this model", where,
         file->tensors().size(), used);
  }
  ValidateAdapter(adapter, config, where);
  return adapter;
}

LoraAdapter ReadAdapter(const std::filesystem::path& path, const LlamaConfig& config) {
  return std::filesystem::is_directory(path) ? ReadPeft(path, config) : ReadGgufAdapter(path, config);
}

}  // namespace longspan
