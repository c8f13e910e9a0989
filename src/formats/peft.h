// LoRA adapters as files: PEFT's folder (adapter_config.json and adapter_model.safetensors), and GGUF.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/config.h"
#include "tensor/tensor.h"

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

// Error(kUnsupported) for what longspan would compute wrongly: DoRA, biases, ranks that differ by pattern ...
PeftConfig ReadPeftConfig(const std::filesystem::path& folder);

// `config` is the base model's: it says which shapes must be, and how heads divide q and k.
LoraAdapter ReadPeft(const std::filesystem::path& folder, const LlamaConfig& config);
void WritePeft(const std::filesystem::path& folder, const LoraAdapter& adapter, const LlamaConfig& config);

// A GGUF adapter, as llama.cpp loads with --lora. Its readers scale by alpha / rank and know nothing of
// rsLoRA, so a rank-stabilised adapter is written with alpha * sqrt(rank). They refuse one whose architecture
// is not the model's.
void WriteGgufAdapter(const std::filesystem::path& path, const LoraAdapter& adapter,
                      Architecture architecture = Architecture::kLlama);
LoraAdapter ReadGgufAdapter(const std::filesystem::path& path, const LlamaConfig& config);

// Either: a folder is PEFT's, a file is GGUF.
LoraAdapter ReadAdapter(const std::filesystem::path& path, const LlamaConfig& config);

// Error(kInvalidFile), naming `where`, unless every pair fits the model's projections and the rank, and no
// target is there twice.
void ValidateAdapter(const LoraAdapter& adapter, const LlamaConfig& config, const std::string& where);

}  // namespace longspan
