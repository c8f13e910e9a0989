// LoRA adapters as GGUF files, as llama.cpp loads with --lora.
#pragma once

#include <filesystem>

#include "model/adapter.h"
#include "model/config.h"

namespace longspan {

// Readers scale by alpha / rank and know nothing of rsLoRA, so a rank-stabilised adapter is written with
// alpha * sqrt(rank). They refuse an adapter whose architecture is not the model's. They take an alpha of 0
// for a scale of one, so an adapter with that alpha is an Error(kUnsupported).
void WriteGgufAdapter(const std::filesystem::path& path, const LoraAdapter& adapter,
                      Architecture architecture = Architecture::kLlama);
LoraAdapter ReadGgufAdapter(const std::filesystem::path& path, const LlamaConfig& config);

}  // namespace longspan
