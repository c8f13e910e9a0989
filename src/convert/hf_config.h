// config.json of Hugging Face's Llama, Mistral and Qwen2, as transformers reads and writes it.
#pragma once

#include <filesystem>
#include <string>

#include "base/progress.h"
#include "formats/gguf_value.h"
#include "model/config.h"
#include "tensor/type.h"

namespace longspan {

// What `folder`/config.json says; absent keys have transformers' defaults. Error(kUnsupported) for another
// architecture and for settings that GGUF's llama and qwen2 cannot express, Error(kInvalidFile) for nonsense.
// The name is the folder's.
LlamaConfig ReadHfConfig(const std::filesystem::path& folder, Progress& progress);

// `folder`/config.json: LlamaForCausalLM, MistralForCausalLM where a Llama has a sliding window, or
// Qwen2ForCausalLM. `metadata` has the ids of special tokens, `type` is what most weights have.
void WriteHfConfig(const std::filesystem::path& folder, const LlamaConfig& config,
                   const GgufMetadata& metadata, Type type);
// The same as text.
std::string HfConfigText(const LlamaConfig& config, const GgufMetadata& metadata, Type type);

}  // namespace longspan
