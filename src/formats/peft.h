// LoRA adapters as PEFT's folders: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/gguf_adapter.h"
#include "formats/safetensors.h"
#include "model/adapter.h"
#include "model/config.h"

namespace longspan {

// What adapter_config.json says. Keys that are null count as absent.
struct PeftConfig {
  std::int64_t rank = 0;
  double alpha = 0.0;
  bool rslora = false;
  double dropout = 0.0;
  std::string base_model;
  std::vector<std::string> target_modules;
};

// Error(kUnsupported) for what longspan would compute wrongly: DoRA, biases, ranks that differ by pattern,
// ways to initialise that change the base (PiSSA) ...
PeftConfig ReadPeftConfig(const std::filesystem::path& folder);

// The folder's adapter_model.safetensors. Error(kUnsupported) where it has a pickle instead,
// Error(kInvalidFile) where its tensors are empty.
std::shared_ptr<const SafetensorsFile> OpenPeftTensors(const std::filesystem::path& folder);

// `config` is the base model's: it gives the expected shapes and the division of q and k into heads. The
// adapter's base_layers must be compared with the base (CheckBaseLayers), because the configuration alone
// cannot tell.
LoraAdapter ReadPeft(const std::filesystem::path& folder, const LlamaConfig& config);
// Replaces an adapter that is in the folder, once both of the new files are whole.
void WritePeft(const std::filesystem::path& folder, const LoraAdapter& adapter, const LlamaConfig& config);

// Loads either kind: a folder is PEFT's, a file is GGUF.
LoraAdapter ReadAdapter(const std::filesystem::path& path, const LlamaConfig& config);

}  // namespace longspan
