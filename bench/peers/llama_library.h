// llama.cpp's own libraries, as the npm package of bench/peers/package.json brings them: opened at run time,
// so that nothing here needs them to build. Its headers are not used. Its parameter structs are passed
// through as it filled them in. They are declared larger than in any of its versions, and only the first
// fields are named, which have not moved in years.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/type.h"

namespace longspan::peers {

// A parameter struct of llama.cpp's. A struct of this size that is passed by value lies on the stack, so that
// a reader of a smaller one finds its fields.
template <class Head>
struct Parameters {
  Head head;
  std::array<std::int64_t, 256> rest;
};
struct Opaque {};
struct QuantizeHead {
  std::int32_t threads, file_type, output_type, embedding_type;
  bool allow_requantize;
};

class LlamaLibrary {
 public:
  // Nothing where the package is not installed in `source`/bench/peers. Error(kUnsupported) where it lacks
  // what is asked of it. The libraries stay open to the end of the process.
  static std::unique_ptr<const LlamaLibrary> Find(const std::filesystem::path& source);
  // The same for a program that cannot do without it: Error(kUnsupported) where it is not installed.
  static std::unique_ptr<const LlamaLibrary> Require(const std::filesystem::path& source);

  bool NeedsImportance(Type type) const;
  // The blocks of rows of `cols` values, with all threads; `importance` [cols] or null.
  std::vector<std::byte> Quantize(Type type, std::span<const float> values, std::int64_t cols,
                                  const float* importance = nullptr) const;
  // The same by the calling thread. Any number of threads may ask at once.
  void QuantizeRows(Type type, const float* values, std::byte* blocks, std::int64_t rows, std::int64_t cols,
                    const float* importance) const;
  // A whole file by one of its mixes, named by GGUF's general.file_type; 0, F32, decodes a quantised file.
  void QuantizeFile(const std::filesystem::path& in, const std::filesystem::path& out,
                    std::uint32_t file_type) const;

 private:
  friend class LlamaModel;
  struct Batch {
    std::int32_t count;
    std::int32_t* tokens;
    float* embeddings;
    std::int32_t* positions;
    std::int32_t* sequence_counts;
    std::int32_t** sequences;
    std::int8_t* wanted;  // whose logits are wanted
  };
  struct Model;
  struct Context;
  struct Adapter;
  struct Words;

  bool (*needs_importance_)(std::uint32_t);
  std::size_t (*quantize_chunk_)(std::uint32_t, const float*, void*, std::int64_t, std::int64_t, std::int64_t,
                                 const float*);
  Parameters<QuantizeHead> (*quantize_defaults_)();
  std::uint32_t (*quantize_file_)(const char*, const char*, const Parameters<QuantizeHead>*);
  Parameters<Opaque> (*model_defaults_)();
  Parameters<Opaque> (*context_defaults_)();
  Model* (*load_)(const char*, Parameters<Opaque>);
  void (*free_model_)(Model*);
  Context* (*make_context_)(Model*, Parameters<Opaque>);
  void (*free_context_)(Context*);
  void (*set_threads_)(Context*, std::int32_t, std::int32_t);
  Adapter* (*load_adapter_)(Model*, const char*);
  std::int32_t (*set_adapters_)(Context*, Adapter**, std::size_t, float*);
  const Words* (*words_)(const Model*);
  std::int32_t (*count_words_)(const Words*);
  std::int32_t (*tokenize_)(const Words*, const char*, std::int32_t, std::int32_t*, std::int32_t, bool, bool);
  std::int32_t (*decode_)(Context*, Batch);
  float* (*logits_)(Context*, std::int32_t);
};

// A model file as llama.cpp reads and runs it.
class LlamaModel {
 public:
  // Error(kInvalidFile) where it does not load.
  LlamaModel(const LlamaLibrary& library, const std::filesystem::path& path);
  ~LlamaModel();
  LlamaModel(const LlamaModel&) = delete;
  LlamaModel& operator=(const LlamaModel&) = delete;

  std::int32_t vocab_size() const;
  std::vector<std::int32_t> Encode(std::string_view text, bool parse_special = false) const;
  // Logits() are with this GGUF adapter from here on, `factor` times as strong. Error(kInvalidFile) where it
  // does not load.
  void Adapt(const std::filesystem::path& adapter, float factor);
  // logits [tokens, vocab_size] of one sequence from its beginning, read as one batch; at most 512 tokens.
  std::vector<float> Logits(std::span<const std::int32_t> tokens) const;

 private:
  const LlamaLibrary& library_;
  LlamaLibrary::Model* model_;
  LlamaLibrary::Adapter* adapter_ = nullptr;  // the model's own, freed with it
  float adapter_factor_ = 1;
};

}  // namespace longspan::peers
