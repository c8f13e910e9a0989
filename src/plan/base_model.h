// The model that a job begins with, a GGUF file or a Hugging Face folder, as far as planning needs it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/progress.h"
#include "model/config.h"
#include "model/weights.h"
#include "quantize/mix.h"
#include "text/tokenizer.h"

namespace longspan {

struct BaseModel {
  LlamaConfig config;
  // To measure with: those of the file, or, of a folder whose weights are still to be converted, zeros of the
  // same types and shapes in its first layers. As many layers as `measurable_layers`.
  Weights weights;
  std::int64_t measurable_layers = 0;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<TensorInfo> tensors;  // by GGUF's names
  std::int64_t bytes = 0;           // of all weights as GGUF
  bool is_folder = false;

  // What a model merged from it is kept as: its own type where that is a float type.
  Type MergedType() const;
};

// Nothing is written. Error as LoadModel and ReadHfModel.
BaseModel OpenBaseModel(const std::filesystem::path& path, Progress& progress = NoProgress());

}  // namespace longspan
