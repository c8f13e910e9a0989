#include "formats/peft.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "base/atomic_folder.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/adapter_targets.h"
#include "formats/byte_reader.h"
#include "formats/json_object.h"
#include "formats/rope_order.h"
#include "formats/wrong_file.h"
#include "model/architecture.h"

namespace longspan {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxConfig = 1 << 20;
constexpr std::string_view kConfigName = "adapter_config.json";
constexpr std::string_view kTensorsName = "adapter_model.safetensors";
constexpr std::string_view kPickleName = "adapter_model.bin";

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight" is the A of "layers.3.q". The embedding's
// matrices have no ".weight" and are the other way round: its A is [rank, vocabulary], its B [dim, rank].
std::string PeftName(WeightId target, char which) {
  const bool embedding = target.part == Part::kEmbedding;
  return fmt::format("base_model.model.{}.lora_{}{}{}", HfModule(target), embedding ? "embedding_" : "",
                     which, embedding ? "" : ".weight");
}

// The names of the base's own weights, which PEFT saves beside the pairs if an embedding is adapted or
// resized: that of the wrapped layer, or that of the layer itself.
std::vector<std::string> BaseLayerNames(WeightId target) {
  const std::string module = "base_model.model." + HfModule(target);
  return {module + ".base_layer.weight", module + ".weight"};
}

// Some versions of PEFT keep the adapter's own name in the tensor's.
std::string WithoutAdapterName(std::string name) {
  constexpr std::string_view kDefault = ".default";
  if (const std::size_t at = name.rfind(kDefault); at != std::string::npos) name.erase(at, kDefault.size());
  return name;
}

// Turns the embedding's pair from PEFT's order into ours, or back: each one's A is the other's B, transposed.
LoraAdapter::Pair TurnedOver(const LoraAdapter::Pair& pair) {
  return {pair.target, Transposed(pair.b), Transposed(pair.a)};
}

LoraAdapter::Pair Ordered(const LoraAdapter::Pair& pair, const LlamaConfig& config, RopeOrder to) {
  if (!IsReordered(config.architecture, pair.target.part)) return pair;
  return {pair.target, pair.a, PermuteRows(pair.b, config.head_dim, to)};
}

LoraAdapter::Pair ToPeft(const LoraAdapter::Pair& pair, const LlamaConfig& config) {
  return pair.target.part == Part::kEmbedding ? TurnedOver(pair)
                                              : Ordered(pair, config, RopeOrder::kHalfSplit);
}

// Allows only ways to initialise an adapter that leave the base's weights alone. With the others (pissa,
// olora, corda, loftq, lora_ga) PEFT subtracts the adapter's initial product from the base, each time that it
// loads one.
void CheckInitialisation(const JsonObject& config) {
  constexpr std::array<std::string_view, 5> kPlain{"true", "false", "gaussian", "eva", "orthogonal"};
  const json* value = config.FindValue("init_lora_weights");
  if (value == nullptr || value->is_boolean()) return;
  std::string way = config.Get<std::string>("init_lora_weights");
  std::ranges::transform(way, way.begin(), [](unsigned char c) { return std::tolower(c); });
  if (std::ranges::find(kPlain, way) != kPlain.end()) return;
  Fail(ErrorKind::kUnsupported,
       "{}: init_lora_weights is \"{}\": such an adapter belongs to a base that PEFT has changed, not to the "
       "base as published; save it as a plain LoRA (PEFT's save_pretrained with "
       "path_initial_model_for_weight_conversion), or merge it with PEFT and save the whole model",
       config.where(), Printable(way));
}

// Fails unless the base's weight in the file has the base's shape.
void CheckShape(const LoraAdapter::BaseLayer& layer, const LlamaConfig& config) {
  const Tensor& weight = layer.weight;
  if (!IsFloat(weight.type()) || weight.shape().size() != 2) {
    Fail(ErrorKind::kUnsupported, "{}: is {} [{}], expected a matrix of F32, F16 or BF16", layer.where,
         Traits(weight.type()).name, fmt::join(weight.shape(), ", "));
  }
  if (weight.rows() == config.vocab_size && weight.cols() == config.dim) return;
  Fail(ErrorKind::kUnsupported,
       "{}: is {} x {}, the base's is {} x {}: the vocabulary was changed for training; merge it with PEFT, "
       "and convert the result",
       layer.where, weight.rows(), weight.cols(), config.vocab_size, config.dim);
}

Tensor ToFloat(const Tensor& tensor) { return tensor.type() == Type::kF32 ? tensor : tensor.ToF32(); }

}  // namespace

PeftConfig ReadPeftConfig(const std::filesystem::path& folder) {
  const JsonObject config = JsonObject::Read(folder / kConfigName, kMaxConfig);
  const std::string& where = config.where();
  if (const auto type = config.Or<std::string>("peft_type", "LORA"); type != "LORA") {
    Fail(ErrorKind::kUnsupported, "{}: peft_type {}, expected LORA", where, Printable(type));
  }
  if (const auto bias = config.Or<std::string>("bias", "none"); bias != "none") {
    Fail(ErrorKind::kUnsupported, "{}: bias {}, expected none", where, Printable(bias));
  }
  for (const char* key :
       {"use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern", "lora_bias",
        "trainable_token_indices", "layer_replication", "alora_invocation_tokens", "target_parameters",
        "use_qalora", "use_bdlora", "arrow_config"}) {
    config.RefuseUnlessEmpty(key);
  }
  CheckInitialisation(config);
  PeftConfig out;
  out.rank = config.Or<std::int64_t>("r", 8);
  out.alpha = config.Or<double>("lora_alpha", 8.0);
  out.rslora = config.Or<bool>("use_rslora", false);
  out.dropout = config.Or<double>("lora_dropout", 0.0);
  out.base_model = config.Or<std::string>("base_model_name_or_path", "");
  if (out.rank < 1 || out.rank > kMaxAdapterRank) {
    Fail(ErrorKind::kInvalidFile, "{}: r is {}, expected 1 to {}", where, out.rank, kMaxAdapterRank);
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

std::shared_ptr<const SafetensorsFile> OpenPeftTensors(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / kTensorsName) && std::filesystem::exists(folder / kPickleName))
    RefusePickle(folder / kPickleName);
  auto file = SafetensorsFile::Open(folder / kTensorsName);
  file->RefuseEmptyTensors();
  return file;
}

LoraAdapter ReadPeft(const std::filesystem::path& folder, const LlamaConfig& config) {
  const PeftConfig peft = ReadPeftConfig(folder);
  const auto file = OpenPeftTensors(folder);
  const std::string where = file->path().string();
  LoraAdapter adapter{peft.rank, peft.alpha, peft.rslora, peft.dropout, peft.base_model, {}};
  std::map<std::string, std::pair<WeightId, char>> names;  // PEFT's name to target and matrix
  for (const WeightId target : AdapterTargets(config)) {
    for (const char which : {'A', 'B'}) names.emplace(PeftName(target, which), std::pair(target, which));
  }
  for (const WeightId target : {WeightId{-1, Part::kEmbedding}, WeightId{-1, Part::kOutput}}) {
    for (const std::string& name : BaseLayerNames(target)) names.emplace(name, std::pair(target, 'W'));
  }
  std::map<WeightId, LoraAdapter::Pair> found;
  for (const SafetensorsEntry& entry : file->entries()) {
    const auto place = names.find(WithoutAdapterName(entry.name));
    if (place == names.end()) {
      Fail(ErrorKind::kUnsupported, "{}: tensor {} is not a LoRA matrix of this model", where,
           Printable(entry.name, 160));
    }
    const auto& [target, which] = place->second;
    if (which == 'W') {
      adapter.base_layers.push_back({target, file->LoadTensor(entry.name),
                                     fmt::format("{}: tensor {}", where, Printable(entry.name, 160))});
      CheckShape(adapter.base_layers.back(), config);
      continue;
    }
    Tensor& tensor = which == 'B' ? found[target].b : found[target].a;
    if (!tensor.empty())
      Fail(ErrorKind::kInvalidFile, "{}: {} appears twice", where, Printable(entry.name, 160));
    tensor = ToFloat(file->LoadTensor(entry.name));
  }
  adapter.pairs = CollectPairs(found, config, where);
  for (LoraAdapter::Pair& pair : adapter.pairs) {
    if (pair.target.part == Part::kEmbedding) pair = TurnedOver(pair);
  }
  ValidateAdapter(adapter, config, where);
  for (LoraAdapter::Pair& pair : adapter.pairs) pair = Ordered(pair, config, RopeOrder::kInterleaved);
  return adapter;
}

namespace {

// Writes the two files into a folder that has neither.
void WriteFiles(const std::filesystem::path& folder, const LoraAdapter& adapter, const LlamaConfig& config) {
  SafetensorsWriter writer(folder / kTensorsName);
  std::set<std::string_view> modules;
  std::set<std::int64_t> layers;
  for (const LoraAdapter::Pair& ours : adapter.pairs) {
    const LoraAdapter::Pair pair = ToPeft(ours, config);
    writer.Declare(PeftName(pair.target, 'A'), Type::kF32, pair.a.shape());
    writer.Declare(PeftName(pair.target, 'B'), Type::kF32, pair.b.shape());
    const std::string_view module = Traits(pair.target.part).hf;
    modules.insert(module.substr(module.rfind('.') + 1));
    if (pair.target.layer >= 0) layers.insert(pair.target.layer);
  }
  for (const LoraAdapter::Pair& ours : adapter.pairs) {
    const LoraAdapter::Pair pair = ToPeft(ours, config);
    writer.Write(PeftName(pair.target, 'A'), pair.a.bytes());
    writer.Write(PeftName(pair.target, 'B'), pair.b.bytes());
  }
  writer.Commit();
  // PEFT expects matrices for every layer unless it is told otherwise.
  const bool all = std::ssize(layers) == config.layers || layers.empty();
  const json out = {{"peft_type", "LORA"},
                    {"task_type", "CAUSAL_LM"},
                    {"base_model_name_or_path", adapter.base_model},
                    {"r", adapter.rank},
                    {"lora_alpha", adapter.alpha},
                    {"use_rslora", adapter.rslora},
                    {"lora_dropout", adapter.dropout},
                    {"target_modules", modules},
                    {"layers_to_transform", all ? json() : json(layers)},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"inference_mode", true},
                    {"init_lora_weights", true},
                    {"modules_to_save", nullptr}};
  WriteFile(folder / kConfigName, JsonText(out));
}

// Replaces the pair in `folder` by that in `from`. New weights never stand beside an old configuration: for a
// moment there is no configuration, and the folder is refused rather than misread.
void ReplaceFiles(const std::filesystem::path& from, const std::filesystem::path& folder) {
  try {
    std::filesystem::remove(folder / kConfigName);
    for (const std::string_view name : {kTensorsName, kConfigName})
      std::filesystem::rename(from / name, folder / name);
  } catch (const std::filesystem::filesystem_error& e) {
    Fail(ErrorKind::kIo, "{}: cannot replace the adapter: {}", folder.string(), e.code().message());
  }
}

}  // namespace

void WritePeft(const std::filesystem::path& folder, const LoraAdapter& adapter, const LlamaConfig& config) {
  ValidateAdapter(adapter, config, folder.string());
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error) || std::filesystem::is_empty(folder, error)) {
    AtomicFolder whole(folder);
    WriteFiles(whole.path(), adapter, config);
    return whole.Commit();
  }
  // Whatever else is in the folder stays.
  const AtomicFolder aside(folder / "new-adapter");
  WriteFiles(aside.path(), adapter, config);
  ReplaceFiles(aside.path(), folder);
}

LoraAdapter ReadAdapter(const std::filesystem::path& path, const LlamaConfig& config) {
  return std::filesystem::is_directory(path) ? ReadPeft(path, config) : ReadGgufAdapter(path, config);
}

}  // namespace longspan
