// Converts any of the formats to another. Source and destination decide which conversion it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "encode/unfit_values.h"

namespace longspan {

enum class Conversion {
  kHfToGguf,       // a folder with config.json -> model.gguf
  kGgufToHf,       // model.gguf -> a folder
  kPeftToGguf,     // a folder with adapter_config.json -> adapter.gguf
  kGgufToPeft,     // adapter.gguf -> a folder
  kLlama2cToGguf,  // checkpoint.bin -> model.gguf
  kSplitGguf,      // model.gguf, --split-size -> a folder of shards
  kJoinGguf,       // model-00001-of-00005.gguf -> model.gguf
};

// "Hugging Face folder -> GGUF".
std::string_view Name(Conversion conversion);

// Whether the conversion writes a folder rather than a file.
bool WritesFolder(Conversion conversion);

struct ConvertOptions {
  std::string type = "auto";        // of the weights: see ConvertHfToGguf, HfOptions
  std::filesystem::path tokenizer;  // llama2.c: its tokenizer
  std::filesystem::path base;       // adapters: the base model, a GGUF file or a Hugging Face folder
  std::uint64_t shard_bytes = 5'000'000'000;  // of a safetensors file
  std::uint64_t split_bytes = 0;              // of a GGUF shard; 0: do not split
  TooLarge too_large = TooLarge::kRefuse;     // values beyond what the type holds
};

struct ConvertSummary {
  Conversion conversion = Conversion::kHfToGguf;
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;                    // of tensor data written
  std::vector<std::filesystem::path> files;  // what was written: files, or one folder
};

// Error(kBadOption) where options do not belong to the conversion or the destination to the source.
Conversion FindConversion(const std::filesystem::path& source, const std::filesystem::path& destination,
                          const ConvertOptions& options);

ConvertSummary Convert(const std::filesystem::path& source, const std::filesystem::path& destination,
                       const ConvertOptions& options, Progress& progress);

}  // namespace longspan
