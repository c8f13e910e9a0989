// A GGUF file to a Hugging Face folder that transformers loads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/progress.h"
#include "convert/hf_to_gguf.h"

namespace longspan {

struct HfOptions {
  std::string type = "auto";                  // "F32", "F16", "BF16", or "auto": floats stay as they are
  std::uint64_t shard_bytes = 5'000'000'000;  // of tensor data in a file at most
  TooLarge too_large = TooLarge::kRefuse;     // values beyond what the type holds
};

// Writes config.json, generation_config.json, the weights as safetensors, the tokenizer's files and, where
// the metadata has something to say, README.md into `folder`, which must be new or empty and appears whole or
// not at all. Norms and biases take the type of the matrices where that loses nothing. Error(kBadOption) for
// a quantised file with "auto": its weights can only be decoded.
ConvertReport ConvertGgufToHf(const std::filesystem::path& file, const std::filesystem::path& folder,
                              const HfOptions& options, Progress& progress);

}  // namespace longspan
