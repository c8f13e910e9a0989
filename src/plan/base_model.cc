#include "plan/base_model.h"

#include <algorithm>

#include "convert/hf_checkpoint.h"
#include "convert/hf_config.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "quantize/quantize.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"

namespace longspan {
namespace {

constexpr std::int64_t kMeasuredLayers = 2;

std::int64_t BytesOf(const std::vector<TensorInfo>& tensors) {
  std::int64_t bytes = 0;
  for (const TensorInfo& tensor : tensors) bytes += TensorBytes(tensor.type, tensor.shape);
  return bytes;
}

BaseModel OpenGguf(const std::filesystem::path& path) {
  ModelFile file = LoadModel(path);
  BaseModel base;
  base.config = file.config;
  base.weights = std::move(file.weights);
  base.measurable_layers = base.config.layers;
  base.tokenizer = Tokenizer::Make(ReadVocabulary(file.file->metadata()));
  base.tensors = TensorInfos(*file.file);
  base.bytes = BytesOf(base.tensors);
  return base;
}

// The type that most of a checkpoint's weights have.
Type CheckpointType(const HfCheckpoint& checkpoint) {
  const auto largest = std::ranges::max_element(checkpoint.tensors(), {}, [](const auto& entry) {
    return TensorBytes(entry.second->type, entry.second->shape);
  });
  const Type type = largest == checkpoint.tensors().end() ? Type::kF16 : largest->second->type;
  return IsFloat(type) ? type : Type::kF16;
}

BaseModel OpenFolder(const std::filesystem::path& path, Progress& progress) {
  BaseModel base;
  base.is_folder = true;
  base.config = ReadHfConfig(path, progress);
  base.tokenizer = Tokenizer::Make(ReadVocabulary(ReadHfTokenizer(path, base.config.vocab_size)));
  const Type type = CheckpointType(HfCheckpoint::Open(path));
  for (const InitialTensor& tensor : InitialTensors(base.config))
    base.tensors.push_back(
        {GgufTensorName(tensor.name), tensor.shape.size() > 1 ? type : Type::kF32, tensor.shape});
  base.bytes = BytesOf(base.tensors);

  LlamaConfig part = base.config;
  part.layers = base.measurable_layers = std::min(base.config.layers, kMeasuredLayers);
  base.weights.layers.resize(part.layers);
  const std::vector<InitialTensor> initial = InitialTensors(part);
  ForEachTensor(base.weights, part.tied_embeddings, part.attention_bias,
                [&](const std::string& name, Tensor& tensor) {
                  const auto found = std::ranges::find(initial, name, &InitialTensor::name);
                  if (found != initial.end())
                    tensor = Tensor::Allocate(found->shape.size() > 1 ? type : Type::kF32, found->shape);
                });
  if (part.tied_embeddings) base.weights.output = base.weights.embedding;
  if (part.rope_scaling.kind == RopeScaling::Kind::kLlama3)
    base.weights.rope_factors = Llama3RopeFactors(part);
  return base;
}

}  // namespace

Type BaseModel::MergedType() const {
  const Type type = MainType(weights, config.tied_embeddings);
  return IsFloat(type) ? type : Type::kF16;
}

BaseModel OpenBaseModel(const std::filesystem::path& path, Progress& progress) {
  return std::filesystem::is_directory(path) ? OpenFolder(path, progress) : OpenGguf(path);
}

}  // namespace longspan
