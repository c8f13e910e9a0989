// The model that seeds are made from: as small as a Llama can be, so that mutations hit its structure.
#pragma once

#include "formats/gguf_value.h"
#include "model/adapter.h"
#include "model/testing/small_config.h"
#include "model/weights.h"

namespace longspan::fuzz {

inline LlamaConfig SmallLlama() {
  LlamaConfig c = oracle::MinimalConfig(4, 4);
  c.name = "small";
  c.heads = 2;
  c.head_dim = 2;
  return c;
}

// Four tokens, as SentencePiece's converters write them.
inline GgufMetadata SmallVocabulary() {
  GgufMetadata metadata;
  metadata.Set("tokenizer.ggml.model", "llama");
  metadata.Set("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>", "<0x0A>"});
  metadata.Set("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, 0});
  metadata.Set("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 6});
  metadata.Set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  metadata.Set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  metadata.Set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  return metadata;
}

inline LoraAdapter SmallAdapter(bool rslora) {
  const LlamaConfig c = SmallLlama();
  LoraAdapter adapter{2, 4.0, rslora, 0.0, "small", {}};
  adapter.pairs.push_back({{0, Part::kQ},
                           Tensor::Allocate(Type::kF32, {2, c.dim}),
                           Tensor::Allocate(Type::kF32, {c.q_dim(), 2})});
  adapter.pairs.push_back({{0, Part::kDown},
                           Tensor::Allocate(Type::kF32, {2, c.hidden_dim}),
                           Tensor::Allocate(Type::kF32, {c.dim, 2})});
  return adapter;
}

}  // namespace longspan::fuzz
