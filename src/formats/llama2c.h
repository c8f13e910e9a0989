// Reading the files of karpathy/llama2.c: its first ("version 0") checkpoint and its tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>

#include "formats/gguf_value.h"
#include "model/config.h"
#include "model/weights.h"

namespace longspan {

struct Llama2cModel {
  LlamaConfig config;
  Weights weights;  // views into the mapped file, which they keep alive
};

// Layout, little-endian: seven int32 (dim, hidden_dim, layers, heads, kv_heads, vocabulary size, negative where
// the output is not tied, window), then F32 tensors, each kind for all layers in turn. Rows of q and k already
// are in the order of interleaved-pair RoPE.
Llama2cModel ReadLlama2c(const std::filesystem::path& path);

// The tokenizer as the tokenizer.ggml.* keys of a SentencePiece vocabulary. Layout: int32 longest token, then
// for each token an F32 score, an int32 length and the bytes.
GgufMetadata ReadLlama2cTokenizer(const std::filesystem::path& path, std::int64_t vocab_size);

// Both, as one GGUF file.
void ConvertLlama2c(const std::filesystem::path& model, const std::filesystem::path& tokenizer,
                    const std::filesystem::path& destination);

}  // namespace longspan
