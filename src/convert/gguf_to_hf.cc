#include "convert/gguf_to_hf.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/atomic_folder.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "convert/hf_card.h"
#include "convert/hf_checkpoint.h"
#include "convert/hf_config.h"
#include "convert/hf_rope.h"
#include "convert/tensor_stream.h"
#include "formats/llama_gguf.h"
#include "model/architecture.h"
#include "tensor/codec.h"
#include "text/hf/tokenizer.h"

namespace longspan {
namespace {

constexpr const char* kTokenizerModelKey = "tokenizer.ggml.model";

// A tensor of the model as it will be written.
struct Target {
  WeightId id;
  Tensor tensor;
  Type type = Type::kF32;
  bool is_added_bias = false;  // of the matrix `id`, which GGUF has without one
};

Type ParseFloat(const std::string& name) {
  const std::optional<Type> type = TypeFromName(name);
  if (!type || !IsFloat(*type)) {
    Fail(ErrorKind::kBadOption, "--type {}: safetensors are written as F32, F16 or BF16", name);
  }
  return *type;
}

// Whether a vector's values survive being rounded to `type`.
bool Keeps(const Tensor& vector, Type type) {
  const Tensor before = vector.ToF32(), after = vector.ToFloat(type).ToF32();
  return std::ranges::equal(before.bytes(), after.bytes());
}

// What most weights are written as.
Type WantedType(const ModelFile& model, const HfOptions& options) {
  if (options.type != "auto") return ParseFloat(options.type);
  const Type type = MainType(model.weights, model.config.tied_embeddings);
  return options.decode && !IsFloat(type) ? Type::kF16 : type;
}

Type MatrixType(const Target& target, const HfOptions& options, Type wanted, const std::string& where) {
  if (options.type != "auto") return wanted;
  if (IsFloat(target.tensor.type())) return target.tensor.type();
  if (options.decode) return wanted;
  Fail(ErrorKind::kBadOption, "{}: tensor {} is {}; decode it with --type F16 or BF16", where,
       GgufName(target.id), Traits(target.tensor.type()).name);
}

std::vector<Target> Targets(const ModelFile& model, const HfOptions& options) {
  const LlamaConfig& config = model.config;
  const std::string where = model.file->path().string();
  const Type wanted = WantedType(model, options);
  std::vector<Target> targets;
  ForEachTensor(model.weights, config.tied_embeddings, [&](WeightId id, const Tensor& tensor) {
    Target target{id, tensor};
    if (!CanDecode(tensor.type())) {
      Fail(ErrorKind::kUnsupported, "{}: tensor {} is {}, which longspan does not decode", where,
           GgufName(id), Traits(tensor.type()).name);
    }
    const bool vector = tensor.shape().size() < 2;
    target.type = vector ? (IsFloat(wanted) && Keeps(tensor, wanted) ? wanted : Type::kF32)
                         : MatrixType(target, options, wanted, where);
    targets.push_back(std::move(target));
    // If transformers' Llama has biases of q, k and v, it has one of o_proj too. GGUF's has none, so it is
    // zero.
    if (id.part == Part::kVBias && Traits(config.architecture).has_hugging_face_o_bias)
      targets.push_back({{id.layer, Part::kO}, Tensor::Allocate(Type::kF32, {config.dim}), wanted, true});
  });
  return targets;
}

std::string NameOf(const Target& target) {
  return target.is_added_bias ? HfModule(target.id) + ".bias" : HfName(target.id);
}

TensorStream StreamOf(const Target& target, const LlamaConfig& config, TooLarge too_large) {
  TensorStream stream{.bytes = target.tensor.bytes(),
                      .from = target.tensor.type(),
                      .to = target.type,
                      .too_large = too_large};
  if (IsReordered(config.architecture, target.id.part)) {
    stream.order = HeadOrder{config.head_dim, RopeOrder::kHalfSplit};
  }
  SetMeasures(stream, target.tensor.shape());
  return stream;
}

void WriteWeights(const std::filesystem::path& folder, const ModelFile& model,
                  const std::vector<Target>& targets, const HfOptions& options, ConvertReport& report,
                  Progress& progress) {
  std::vector<HfCheckpointWriter::Plan> plan;
  for (const Target& t : targets) {
    plan.push_back({NameOf(t), t.type, t.tensor.shape()});
    report.bytes += TensorBytes(t.type, t.tensor.shape());
  }
  report.tensors = std::ssize(targets);
  CheckFreeSpace(folder, static_cast<std::uint64_t>(report.bytes));
  HfCheckpointWriter writer(folder, plan, options.shard_bytes);
  progress.Start("convert", report.bytes, "bytes");
  std::int64_t done = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto take = [&](std::span<const std::byte> piece) {
      writer.Append(plan[i].name, piece);
      progress.Update(done += static_cast<std::int64_t>(piece.size()), plan[i].name);
    };
    const auto release = [&](std::span<const std::byte> part) { model.file->Release(part); };
    try {
      const UnfitValues clipped =
          StreamTensor(StreamOf(targets[i], model.config, options.too_large), take, release);
      if (clipped.any()) {
        progress.Message(fmt::format("tensor {}: {}", plan[i].name, DescribeClipped(clipped, plan[i].type)));
      }
    } catch (const Error& error) {
      throw Error(error.kind(),
                  fmt::format("{}: tensor {}: {}", model.file->path().string(), plan[i].name, error.what()));
    }
  }
  writer.Commit();
  progress.Finish();
}

// Hugging Face says by numbers which scaling of RoPE it is, and GGUF by divisors.
LlamaConfig HfConfigOf(LlamaConfig config, const Tensor& rope_factors, const std::string& where) {
  if (!rope_factors.empty() && config.rope_scaling.kind != RopeScaling::Kind::kLlama3)
    config.rope_scaling = Llama3ScalingOf(rope_factors, config, where);
  return config;
}

}  // namespace

void CheckGgufToHf(const LlamaConfig& config, const Tensor& rope_factors, const GgufMetadata& metadata) {
  HfConfigText(HfConfigOf(config, rope_factors, metadata.source()), metadata, Type::kF16);
  if (metadata.Contains(kTokenizerModelKey)) HfTokenizerFiles(metadata);
}

ConvertReport ConvertGgufToHf(const std::filesystem::path& file, const std::filesystem::path& folder,
                              const HfOptions& options, Progress& progress) {
  const ModelFile model = LoadModel(file);
  ConvertReport report;
  report.config = HfConfigOf(model.config, model.weights.rope_factors, file.string());
  const std::vector<Target> targets = Targets(model, options);
  const GgufMetadata& metadata = model.file->metadata();
  AtomicFolder out(folder);
  WriteHfConfig(out.path(), report.config, metadata, WantedType(model, options));
  if (metadata.Contains(kTokenizerModelKey)) {
    WriteHfTokenizer(metadata, out.path());
  } else {
    progress.Message(fmt::format("{}: has no tokenizer; the folder will have none", file.string()));
  }
  WriteHfCard(out.path(), metadata, file.filename().string());
  WriteWeights(out.path(), model, targets, options, report, progress);
  out.Commit();
  return report;
}

}  // namespace longspan
