// A GGUF file to a Hugging Face folder that transformers loads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/progress.h"
#include "convert/hf_to_gguf.h"
#include "formats/gguf_value.h"
#include "model/config.h"
#include "tensor/tensor.h"

namespace longspan {

struct HfOptions {
  std::string type = "auto";                  // "F32", "F16", "BF16", or "auto": floats stay as they are
  std::uint64_t shard_bytes = 5'000'000'000;  // of tensor data in a file at most
  TooLarge too_large = TooLarge::kRefuse;     // values beyond what the type holds
  bool decode = false;  // with "auto": quantised weights become floats as most are, or F16, not an error
};

// Writes config.json, generation_config.json, the weights as safetensors, the tokenizer's files and, where
// the metadata has something to say, README.md into `folder`, which must be new or empty and appears whole or
// not at all. Norms and biases take the type of the matrices where that loses nothing. Error(kBadOption) for
// a quantised file with "auto", unless options.decode: its weights can only be decoded.
ConvertReport ConvertGgufToHf(const std::filesystem::path& file, const std::filesystem::path& folder,
                              const HfOptions& options, Progress& progress);

// Error as ConvertGgufToHf for what a folder has no word for: this scaling of RoPE, these divisors of RoPE
// (may be empty), this tokenizer. For a model that is still to be made. Writes nothing.
void CheckGgufToHf(const LlamaConfig& config, const Tensor& rope_factors, const GgufMetadata& metadata);

}  // namespace longspan
