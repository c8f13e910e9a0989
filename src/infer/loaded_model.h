// A model file, ready to be run: weights, tokenizer and transformer together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/llama_gguf.h"
#include "formats/rope_override.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace longspan {

// An adapter that a model runs with, unmerged.
struct AdapterFile {
  std::filesystem::path path;  // PEFT folder, or GGUF adapter
  double factor = 1;           // times the adapter's own scale

  // "PATH" or "PATH:FACTOR". Error(kBadOption) where there is no such file.
  static AdapterFile Parse(const std::string& text);
};

// Where the weights of a model are while it runs.
enum class WeightMemory {
  kMapped,  // in the file: it opens at once, and the system may drop what it is short of
  kPacked,  // in memory of their own too, in the order in which decoding reads them: see InHugePages
  kAuto,    // kPacked if activations are rounded and there is memory for it, otherwise kMapped
};

class LoadedModel {
 public:
  // `isa` and `activations` as ChooseKernels takes them.
  explicit LoadedModel(const std::filesystem::path& path, const RopeOverride& rope = {},
                       std::string_view isa = "auto", Activations activations = Activations::kExact,
                       std::span<const AdapterFile> adapters = {},
                       WeightMemory memory = WeightMemory::kMapped);

  const std::filesystem::path& path() const { return path_; }
  const GgufMetadata& metadata() const { return file_.file->metadata(); }
  const LlamaConfig& config() const { return transformer_->config(); }
  const Transformer& transformer() const { return *transformer_; }
  void SetSparsePrefill(const SparsePrefill& sparse) { transformer_->SetSparsePrefill(sparse); }
  WeightMemory weight_memory() const { return weight_memory_; }  // what was chosen
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // The token that begins a sequence, where the model wants one.
  std::optional<std::int32_t> bos() const;
  // The tokens at which generated text ends. BOS is one: a model trained on texts set end to end says
  // "another text begins" where this one ends.
  std::vector<std::int32_t> stop_tokens() const;

 private:
  std::filesystem::path path_;
  ModelFile file_;
  WeightMemory weight_memory_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<Transformer> transformer_;
};

}  // namespace longspan
