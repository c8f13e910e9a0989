// LoRA adapters as GGUF files, as llama.cpp loads with --lora.
#pragma once

#include <filesystem>

#include "model/adapter.h"
#include "model/config.h"

namespace longspan {

// Readers scale by alpha / rank and know nothing of rsLoRA, so a rank-stabilised adapter is written with
// alpha * sqrt(rank). They refuse one whose architecture is not the model's, and take an alpha of 0 to mean a
// scale of one. Such an adapter is an Error(kUnsupported).
void WriteGgufAdapter(const std::filesystem::path& path, const LoraAdapter& adapter,
                      Architecture architecture = Architecture::kLlama);
LoraAdapter ReadGgufAdapter(const std::filesystem::path& path, const LlamaConfig& config);

}  // namespace longspan
