#include "formats/llama_gguf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "base/cancel.h"
#include "base/checked.h"
#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/file_type.h"
#include "formats/gguf_writer.h"
#include "formats/llama3_rope.h"
#include "model/rope_scaling.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;  // of ggml's block layouts

// The keys of a model begin with its architecture: key("block_count") is "llama.block_count".
class Keys {
 public:
  explicit Keys(Architecture architecture) : prefix_(Name(architecture)) {}
  std::string operator()(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }

 private:
  std::string_view prefix_;
};

// A dimension that some writers give once and others once for each layer. longspan's layers are all alike.
std::int64_t Uniform(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.metadata().FindValue(key);
  if (value == nullptr || value->type() != GgufType::kArray) return file.Get<std::int64_t>(key);
  const auto all = file.Get<std::vector<std::int64_t>>(key);
  if (all.empty() || std::ranges::count(all, all.front()) != std::ranges::ssize(all)) {
    Fail(ErrorKind::kUnsupported, "{}: {} differs between layers", file.path().string(), key);
  }
  return all.front();
}

std::int64_t VocabularySize(const GgufFile& file, const Keys& key) {
  if (const GgufTensor* embedding = file.FindTensor(GgufName({-1, Part::kEmbedding})); embedding != nullptr) {
    return embedding->shape.front();
  }
  if (const auto size = file.Find<std::int64_t>(key("vocab_size"))) return *size;
  return std::ssize(file.Get<std::span<const std::string_view>>("tokenizer.ggml.tokens"));
}

// llama.cpp multiplies cosine and sine by attn_factor whatever the scaling; here only YaRN has a magnitude.
void RefuseMagnitude(const GgufFile& file, const Keys& key) {
  const auto magnitude = file.Find<double>(key("rope.scaling.attn_factor"));
  if (!magnitude || *magnitude == 1.0) return;
  Fail(ErrorKind::kUnsupported, "{}: {} is {} without YaRN, expected 1", file.path().string(),
       key("rope.scaling.attn_factor"), *magnitude);
}

RopeScaling ReadRopeScaling(const GgufFile& file, const Keys& key) {
  RopeScaling scaling;
  const auto type = file.Find<std::string>(key("rope.scaling.type"));
  // Before scaling.type there was a single number for linear scaling.
  const auto old_linear = file.Find<double>(key("rope.scale_linear"));
  if (!type && old_linear && *old_linear != 1.0) {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = *old_linear;
    return scaling;
  }
  if (!type || *type == "none") {
    RefuseMagnitude(file, key);
    return scaling;
  }
  if (*type == "linear") {
    RefuseMagnitude(file, key);
    scaling.kind = RopeScaling::Kind::kLinear;
  } else if (*type == "yarn") {
    scaling.kind = RopeScaling::Kind::kYarn;
    scaling.beta_fast = file.Find<double>(key("rope.scaling.yarn_beta_fast")).value_or(scaling.beta_fast);
    scaling.beta_slow = file.Find<double>(key("rope.scaling.yarn_beta_slow")).value_or(scaling.beta_slow);
  } else {
    Fail(ErrorKind::kUnsupported, "{}: rope scaling '{}', expected none, linear or yarn",
         file.path().string(), Printable(*type));
  }
  // A factor of 0 means that nothing is scaled.
  const double factor = file.Find<double>(key("rope.scaling.factor")).value_or(1.0);
  scaling.factor = factor == 0.0 ? 1.0 : factor;
  scaling.original_context = file.Find<std::int64_t>(key("rope.scaling.original_context_length")).value_or(0);
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    if (scaling.original_context < 1) {
      Fail(ErrorKind::kInvalidFile, "{}: YaRN needs {}, found {}", file.path().string(),
           key("rope.scaling.original_context_length"), scaling.original_context);
    }
    // GGUF multiplies YaRN's own magnitude by attn_factor; the configuration has the product.
    const auto extra = file.Find<double>(key("rope.scaling.attn_factor"));
    if (extra && *extra != 1.0) scaling.attention_factor = *extra * YarnMagnitude(scaling.factor);
  }
  for (const double value :
       {scaling.factor, scaling.beta_fast, scaling.beta_slow, scaling.attention_factor}) {
    if (!(value >= 0 && std::isfinite(value))) {
      Fail(ErrorKind::kInvalidFile, "{}: a number of the rope scaling is {}", file.path().string(), value);
    }
  }
  return scaling;
}

void WriteRopeScaling(const LlamaConfig& config, GgufMetadata& out) {
  const Keys key(config.architecture);
  const RopeScaling& scaling = config.rope_scaling;
  const bool linear = scaling.kind == RopeScaling::Kind::kLinear;
  const bool yarn = scaling.kind == RopeScaling::Kind::kYarn;
  if (!linear && !yarn) return;
  out.Set(key("rope.scaling.type"), linear ? "linear" : "yarn");
  out.Set(key("rope.scaling.factor"), static_cast<float>(scaling.factor));
  if (scaling.original_context > 0) {
    out.Set(key("rope.scaling.original_context_length"),
            CheckedCast<std::uint32_t>(scaling.original_context, "original context"));
  }
  if (!yarn) return;
  out.Set(key("rope.scaling.finetuned"), true);
  const RopeScaling usual;
  if (scaling.beta_fast != usual.beta_fast) {
    out.Set(key("rope.scaling.yarn_beta_fast"), static_cast<float>(scaling.beta_fast));
  }
  if (scaling.beta_slow != usual.beta_slow) {
    out.Set(key("rope.scaling.yarn_beta_slow"), static_cast<float>(scaling.beta_slow));
  }
  if (scaling.attention_factor != 0.0) {
    const double extra = scaling.attention_factor / YarnMagnitude(scaling.factor);
    out.Set(key("rope.scaling.attn_factor"), static_cast<float>(extra));
  }
}

// NTK scaling only changes the base. GGUF has no key for it, so the changed base is written, base * alpha^(d
// / (d - 2)), and every reader gets the same angles.
double WrittenRopeTheta(const LlamaConfig& config) {
  if (config.rope_scaling.kind != RopeScaling::Kind::kNtk) return config.rope_theta;
  const auto d = static_cast<double>(config.head_dim);
  if (d <= 2) return config.rope_theta;
  return config.rope_theta * std::pow(config.rope_scaling.factor, d / (d - 2.0));
}

const FileType& ChooseFileType(Type type, std::optional<std::uint32_t> wanted) {
  const auto same = [&](const FileType& f) { return f.type == type && wanted == f.id; };
  if (const auto it = std::ranges::find_if(kFileTypes, same); it != kFileTypes.end()) return *it;
  const auto it = std::ranges::find(kFileTypes, type, &FileType::type);
  return it != kFileTypes.end() ? *it : kFileTypes.front();
}

// Refuses tensors that are not used, because they would change the answers of a reader that uses them.
void CheckNothingIsLeft(const GgufFile& file, const std::set<std::string_view>& used) {
  for (const GgufTensor& tensor : file.tensors()) {
    // Old converters stored the inverse frequencies that every reader computes for itself.
    if (used.contains(tensor.name) || tensor.name.ends_with("attn_rot_embd")) continue;
    Fail(ErrorKind::kUnsupported, "{}: tensor {} is not part of a plain Llama", file.path().string(),
         Printable(tensor.name));
  }
}

}  // namespace

std::string_view FileTypeName(std::uint32_t file_type) {
  const auto it = std::ranges::find(kFileTypes, file_type, &FileType::id);
  return it == kFileTypes.end() ? "?" : it->name;
}

LlamaConfig ReadLlamaConfig(const GgufFile& file) {
  const std::string where = file.path().string();
  if (const auto type = file.Find<std::string>("general.type"); type && *type != "model") {
    Fail(ErrorKind::kUnsupported, "{}: holds a GGUF '{}', expected a model", where, Printable(*type));
  }
  const auto name = file.Get<std::string>("general.architecture");
  const auto architecture = ArchitectureNamed(name);
  if (!architecture) {
    Fail(ErrorKind::kUnsupported, "{}: architecture '{}', expected {}", where, Printable(name),
         ArchitectureNames());
  }
  const Keys key(*architecture);
  if (const auto experts = file.Find<std::int64_t>(key("expert_count")); experts && *experts > 0) {
    Fail(ErrorKind::kUnsupported, "{}: a mixture of {} experts, expected a dense model", where, *experts);
  }
  LlamaConfig c;
  c.architecture = *architecture;
  c.name = file.Find<std::string>("general.name").value_or("");
  c.vocab_size = VocabularySize(file, key);
  c.dim = file.Get<std::int64_t>(key("embedding_length"));
  c.layers = file.Get<std::int64_t>(key("block_count"));
  c.context = file.Get<std::int64_t>(key("context_length"));
  c.hidden_dim = Uniform(file, key("feed_forward_length"));
  c.heads = Uniform(file, key("attention.head_count"));
  const std::string kv_heads = key("attention.head_count_kv");
  c.kv_heads = file.metadata().Contains(kv_heads) ? Uniform(file, kv_heads) : c.heads;
  c.norm_epsilon = file.Get<double>(key("attention.layer_norm_rms_epsilon"));
  c.rope_theta = file.Find<double>(key("rope.freq_base")).value_or(c.rope_theta);
  c.rope_scaling = ReadRopeScaling(file, key);
  c.tied_embeddings = file.FindTensor(GgufName({-1, Part::kOutput})) == nullptr;
  c.attention_bias = file.FindTensor(GgufName({0, Part::kQBias})) != nullptr;
  c.sliding_window = file.Find<std::int64_t>(key("attention.sliding_window")).value_or(0);

  const auto rotated = file.Find<std::int64_t>(key("rope.dimension_count"));
  const auto key_length = file.Find<std::int64_t>(key("attention.key_length"));
  const std::int64_t split = c.heads > 0 ? c.dim / c.heads : 0;
  c.head_dim = key_length.value_or(rotated.value_or(split));
  const auto same = [&](std::optional<std::int64_t> other, const std::string& what) {
    if (other && *other != c.head_dim) {
      Fail(ErrorKind::kUnsupported, "{}: {} is {}, expected the head dimension, {}", where, what, *other,
           c.head_dim);
    }
  };
  same(rotated, key("rope.dimension_count"));
  same(file.Find<std::int64_t>(key("attention.value_length")), key("attention.value_length"));
  c.Validate(where);
  return c;
}

ModelFile LoadModel(const std::filesystem::path& path) {
  ModelFile model;
  model.file = GgufFile::Open(path);
  const GgufFile& file = *model.file;
  model.config = ReadLlamaConfig(file);
  // A layer has nine tensors. A count of layers far beyond the file's tensors is refused before they are
  // made.
  if (std::cmp_greater(model.config.layers, file.tensors().size())) {
    Fail(ErrorKind::kInvalidFile, "{}: {} tensors, too few for {} layers", path.string(),
         file.tensors().size(), model.config.layers);
  }
  model.weights.layers.resize(model.config.layers);
  std::set<std::string_view> used{kRopeFactorsTensor};
  const auto load = [&](WeightId id, Tensor& tensor) {
    const GgufTensor* found = file.FindTensor(GgufName(id));
    if (found == nullptr)
      Fail(ErrorKind::kInvalidFile, "{}: tensor {} is missing", path.string(), GgufName(id));
    used.insert(found->name);
    tensor = file.LoadTensor(found->name);
  };
  ForEachTensor(model.weights, model.config.tied_embeddings, model.config.attention_bias, load);
  if (model.config.tied_embeddings) model.weights.output = model.weights.embedding;
  model.weights.rope_factors = file.LoadTensor(kRopeFactorsTensor);
  CheckNothingIsLeft(file, used);
  model.weights.Validate(model.config, path.string());
  return model;
}

Type MainType(const Weights& weights, bool tied) {
  std::map<Type, std::int64_t> elements;
  ForEachTensor(weights, tied, [&](WeightId, const Tensor& t) { elements[t.type()] += t.elements(); });
  return std::ranges::max_element(elements, {}, &std::pair<const Type, std::int64_t>::second)->first;
}

GgufMetadata LlamaMetadata(const LlamaConfig& c, const GgufMetadata& extra, Type main_type) {
  const FileType& file_type = ChooseFileType(main_type, extra.Find<std::uint32_t>("general.file_type"));
  const auto u32 = [](std::int64_t value) {
    return CheckedCast<std::uint32_t>(value, "a dimension of the model");
  };
  const Keys key(c.architecture);
  GgufMetadata out;
  out.Set("general.architecture", std::string(Name(c.architecture)));
  out.Set("general.type", "model");
  if (!c.name.empty()) out.Set("general.name", c.name);
  out.Set("general.file_type", file_type.id);
  if (Traits(file_type.type).block_elements > 1)
    out.Set("general.quantization_version", kQuantizationVersion);
  out.Set(key("vocab_size"), u32(c.vocab_size));
  out.Set(key("context_length"), u32(c.context));
  out.Set(key("embedding_length"), u32(c.dim));
  out.Set(key("block_count"), u32(c.layers));
  out.Set(key("feed_forward_length"), u32(c.hidden_dim));
  out.Set(key("attention.head_count"), u32(c.heads));
  out.Set(key("attention.head_count_kv"), u32(c.kv_heads));
  out.Set(key("attention.key_length"), u32(c.head_dim));
  out.Set(key("attention.value_length"), u32(c.head_dim));
  out.Set(key("attention.layer_norm_rms_epsilon"), static_cast<float>(c.norm_epsilon));
  out.Set(key("rope.dimension_count"), u32(c.head_dim));
  out.Set(key("rope.freq_base"), static_cast<float>(WrittenRopeTheta(c)));
  if (c.sliding_window > 0) out.Set(key("attention.sliding_window"), u32(c.sliding_window));
  WriteRopeScaling(c, out);
  for (const auto& [name, value] : extra) {
    const bool decided = name.starts_with(key("")) || name == "general.alignment" ||
                         name == "general.quantization_version" || out.Contains(name);
    if (!decided) out.Set(name, value);
  }
  return out;
}

void SaveModel(const std::filesystem::path& path, const LlamaConfig& config, const Weights& weights,
               const GgufMetadata& extra) {
  const std::string where = path.string();
  config.Validate(where);
  weights.Validate(config, where);
  Tensor factors = weights.rope_factors;
  if (factors.empty() && config.rope_scaling.kind == RopeScaling::Kind::kLlama3)
    factors = Llama3RopeFactors(config);

  GgufWriter writer(path, LlamaMetadata(config, extra, MainType(weights, config.tied_embeddings)));
  const auto is_vector = [](WeightId id) { return Traits(id.part).kind != PartKind::kMatrix; };
  if (!factors.empty()) writer.Declare(kRopeFactorsTensor, Type::kF32, {factors.cols()});
  ForEachTensor(weights, config.tied_embeddings, [&](WeightId id, const Tensor& t) {
    if (is_vector(id))
      writer.Declare(GgufName(id), Type::kF32, {t.cols()});
    else
      writer.Declare(GgufName(id), t.type(), t.shape());
  });
  if (!factors.empty()) writer.Write(kRopeFactorsTensor, factors.ToF32().bytes());
  ForEachTensor(weights, config.tied_embeddings, [&](WeightId id, const Tensor& t) {
    ThrowIfCancelled();
    writer.Write(GgufName(id), is_vector(id) ? t.ToF32().bytes() : t.bytes());
  });
  writer.Commit();
}

}  // namespace longspan
