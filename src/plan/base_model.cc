#include "plan/base_model.h"

#include <algorithm>

#include "convert/hf_to_gguf.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "quantize/quantize.h"
#include "text/gguf_vocabulary.h"

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

BaseModel OpenFolder(const std::filesystem::path& path, Progress& progress) {
  BaseModel base;
  base.is_folder = true;
  HfModel model = ReadHfModel(path, "auto", progress);
  base.config = model.config;
  base.tokenizer = Tokenizer::Make(ReadVocabulary(model.metadata));
  base.tensors = std::move(model.tensors);
  base.bytes = BytesOf(base.tensors);

  LlamaConfig part = base.config;
  part.layers = base.measurable_layers = std::min(base.config.layers, kMeasuredLayers);
  base.weights.layers.resize(part.layers);
  ForEachTensor(base.weights, part.tied_embeddings, part.attention_bias, [&](WeightId id, Tensor& tensor) {
    const auto found = std::ranges::find(base.tensors, GgufName(id), &TensorInfo::name);
    if (found != base.tensors.end()) tensor = Tensor::Allocate(found->type, found->shape);
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
