// A Hugging Face folder to a GGUF file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/progress.h"
#include "encode/unfit_values.h"
#include "formats/gguf_value.h"
#include "model/config.h"
#include "quantize/mix.h"

namespace longspan {

struct ConvertReport {
  LlamaConfig config;
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;         // of tensor data written
  std::vector<TypeChoice> types;  // of tensors written to GGUF
};

// A Hugging Face folder as its conversion sees it.
struct HfModel {
  LlamaConfig config;
  GgufMetadata metadata;            // what the GGUF file has, its tokenizer too
  std::vector<TensorInfo> tensors;  // that the GGUF file has, in its types
};

// What ConvertHfToGguf would write, from the headers of the weights and all of the other files. Error as
// there, for everything but the values of the weights.
HfModel ReadHfModel(const std::filesystem::path& folder, const std::string& type = "auto",
                    Progress& progress = NoProgress());

// `type` is a mix of quantize ("F16", "Q8_0", ...) or "auto", which keeps what the checkpoint has. Norms and
// biases become F32. Tensors are streamed; memory is needed for the vocabulary and a few pieces. Writes `out`
// whole or not at all. Error(kUnsupported) for another architecture or tensors that it does not have,
// Error(kInvalidFile) for missing tensors, other shapes, values that the new type cannot hold (unless they
// may be clipped, which a message counts), and what else does not fit together.
ConvertReport ConvertHfToGguf(const std::filesystem::path& folder, const std::filesystem::path& out,
                              const std::string& type, Progress& progress,
                              TooLarge too_large = TooLarge::kRefuse);

}  // namespace longspan
