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
  // The weights to measure with, `measurable_layers` layers of them. Those of a file are the file's own.
  // Those of a folder, which is not converted yet, are zeros of the same types and shapes.
  Weights weights;
  std::int64_t measurable_layers = 0;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<TensorInfo> tensors;  // by GGUF's names
  std::int64_t bytes = 0;           // of all weights as GGUF
  bool is_folder = false;

  // The type of a model merged from it: its own type where that is a float type.
  Type MergedType() const;
};

// Nothing is written. Error as LoadModel and ReadHfModel.
BaseModel OpenBaseModel(const std::filesystem::path& path, Progress& progress = NoProgress());

}  // namespace longspan
