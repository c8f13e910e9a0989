// A Llama as a GGUF file: its hyperparameters as metadata, its weights under GGUF's tensor names. Keys and
// names are those of ggml's docs/gguf.md and of llama.cpp's architectures "llama" and "qwen2". One more:
// `attention.sliding_window`, which llama.cpp has for other architectures, is read and written for these.
// llama.cpp ignores it in a Llama and attends to the whole context.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_reader.h"
#include "formats/gguf_value.h"
#include "model/config.h"
#include "model/weights.h"

namespace longspan {

struct ModelFile {
  std::shared_ptr<const GgufFile> file;
  LlamaConfig config;
  Weights weights;  // views into the mapped file
};

// Error(kInvalidFile) where something is missing or contradicts itself, Error(kUnsupported) where the file is
// a model of another kind (another architecture, a bias of other projections, experts).
ModelFile LoadModel(const std::filesystem::path& path);

// The hyperparameters alone: works for a vocabulary file without tensors too, as far as it has the keys.
LlamaConfig ReadLlamaConfig(const GgufFile& file);

// Writes a model that any GGUF reader understands. Weights keep their types, norms and biases become F32.
// `extra` is the metadata to keep, typically all of the source file's: its tokenizer.* and general.* keys are
// written, its llama.* (or qwen2.*) keys give way to what `config` says.
void SaveModel(const std::filesystem::path& path, const LlamaConfig& config, const Weights& weights,
               const GgufMetadata& extra);

// The parts of SaveModel, for a writer that makes tensors one at a time.

// general.*, llama.* for `config`, then what `extra` has to keep. `main_type`, that of most elements, gives
// general.file_type, unless extra's own general.file_type is a mix of that type ("Q4_K_S" for Q4_K).
GgufMetadata LlamaMetadata(const LlamaConfig& config, const GgufMetadata& extra, Type main_type);

inline constexpr std::string_view kRopeFactorsTensor = "rope_freqs.weight";

// The type that most elements of the weights have.
Type MainType(const Weights& weights, bool tied);

// The usual name of a general.file_type ("Q4_K_M"), or "?" for an unknown number.
std::string_view FileTypeName(std::uint32_t file_type);

}  // namespace longspan
