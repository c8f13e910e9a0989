// Small models for the tests of conversions.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "base/testing/expect_error.h"
#include "formats/gguf_reader.h"
#include "formats/json_object.h"
#include "formats/llama_gguf.h"
#include "formats/safetensors.h"
#include "model/testing/small_config.h"
#include "text/gguf_vocabulary.h"
#include "text/synthetic_vocabulary.h"

namespace longspan::testing_convert {

inline LlamaConfig TinyConfig() {
  LlamaConfig c = oracle::SmallConfig();
  c.name = "tiny";
  c.vocab_size = 300;
  c.dim = 32;
  c.hidden_dim = 64;
  return c;
}

// 290 tokens, and unused ones up to `vocab_size`, as a model with a padded vocabulary has them.
inline GgufMetadata TinyMetadata(std::int64_t vocab_size = 300) {
  Vocabulary vocabulary = SyntheticVocabulary(290);
  while (std::ssize(vocabulary.tokens) < vocab_size) {
    vocabulary.tokens.push_back(fmt::format("[PAD{}]", vocabulary.tokens.size()));
    vocabulary.kinds.push_back(TokenKind::kUnused);
  }
  GgufMetadata metadata;
  WriteVocabulary(vocabulary, metadata);
  return metadata;
}

// Random weights of a type; norms differ from one, and survive being rounded to `norms`.
inline Weights TinyWeights(const LlamaConfig& config, Type type, Type norms) {
  Weights weights = RandomWeights(config, 7);
  std::uint64_t stream = 0;
  ForEachTensor(weights, config.tied_embeddings, [&](WeightId, Tensor& tensor) {
    Tensor values = tensor.ToF32();
    if (values.shape().size() < 2) {
      Random random(1, stream++, RandomPurpose::kTest);
      for (float& x : values.mutable_floats()) x = 1 + 0.3f * random.Normal();
      tensor = values.ToFloat(norms).ToF32();
    } else {
      tensor = values.ToFloat(type);
    }
  });
  if (config.tied_embeddings) weights.output = weights.embedding;
  return weights;
}

inline void SaveTiny(const std::filesystem::path& path, const LlamaConfig& config, Type type, Type norms) {
  SaveModel(path, config, TinyWeights(config, type, norms), TinyMetadata(config.vocab_size));
}

// A tensor of a safetensors file, for tests that write the file again with changes.
struct HfTensor {
  std::string name;
  Type type;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};
inline std::vector<HfTensor> ReadTensors(const std::filesystem::path& path) {
  std::vector<HfTensor> tensors;
  const auto file = SafetensorsFile::Open(path);
  for (const SafetensorsEntry& e : file->entries()) {
    tensors.push_back({e.name, e.type, e.shape, {e.bytes.begin(), e.bytes.end()}});
  }
  return tensors;
}
inline void WriteTensors(const std::filesystem::path& path, const std::vector<HfTensor>& tensors) {
  SafetensorsWriter writer(path);
  for (const HfTensor& t : tensors) writer.Declare(t.name, t.type, t.shape);
  for (const HfTensor& t : tensors) writer.Write(t.name, t.bytes);
  writer.Commit();
}
inline HfTensor& Find(std::vector<HfTensor>& tensors, const std::string& name) {
  for (HfTensor& t : tensors) {
    if (t.name == name) return t;
  }
  Fail(ErrorKind::kInternal, "no tensor {}", name);
}

inline nlohmann::ordered_json ReadJson(const std::filesystem::path& path) {
  return nlohmann::ordered_json::parse(ReadFile(path));
}
inline void EditJson(const std::filesystem::path& path,
                     const std::function<void(nlohmann::ordered_json&)>& edit) {
  nlohmann::ordered_json json = ReadJson(path);
  edit(json);
  WriteFile(path, JsonText(json));
}

}  // namespace longspan::testing_convert
