// A model file, ready to be run: weights, tokenizer and transformer together.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "formats/llama_gguf.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace longspan {

// RoPE as the user wants it rather than as the file says.
struct RopeOptions {
  std::optional<double> theta;
  std::string scaling;  // empty: the file's
  double factor = 0;    // 0: the file's
  std::int64_t original_context = 0;

  void AddTo(CLI::App& command);
  void Apply(LlamaConfig& config, Weights& weights) const;
};

class LoadedModel {
 public:
  explicit LoadedModel(const std::filesystem::path& path, const RopeOptions& rope = {});

  const std::filesystem::path& path() const { return path_; }
  const LlamaConfig& config() const { return transformer_->config(); }
  const Transformer& transformer() const { return *transformer_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The token that begins a sequence, where the model wants one.
  std::optional<std::int32_t> bos() const;

 private:
  std::filesystem::path path_;
  ModelFile file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<Transformer> transformer_;
};

}  // namespace longspan
