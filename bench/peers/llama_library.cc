#include "bench/peers/llama_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace longspan::peers {
namespace {

constexpr const char* kPackage = "bench/peers/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64";

// The shared library NAME.so or NAME.VERSION.so in the folder.
std::optional<std::filesystem::path> FindLibrary(const std::filesystem::path& folder,
                                                 const std::string& name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(name + ".") && file.ends_with(".so")) return entry.path();
  }
  return std::nullopt;
}

void* OpenLibrary(const std::filesystem::path& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) Fail(ErrorKind::kUnsupported, "{}: {}", path.string(), ::dlerror());
  return library;
}

template <class Function>
void Bind(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  if (function == nullptr) Fail(ErrorKind::kUnsupported, "llama.cpp's libraries have no {}", name);
}

void Ignore(int, const char*, void*) {}

}  // namespace

std::unique_ptr<const LlamaLibrary> LlamaLibrary::Find(const std::filesystem::path& source) {
  const std::filesystem::path folder = source / kPackage;
  const auto base = FindLibrary(folder, "libggml-base"), ggml = FindLibrary(folder, "libggml"),
             llama = FindLibrary(folder, "libllama");
  if (!base || !ggml || !llama) return nullptr;
  auto found = std::make_unique<LlamaLibrary>();
  void* library = OpenLibrary(*base);
  Bind(library, "ggml_quantize_requires_imatrix", found->needs_importance_);
  Bind(library, "ggml_quantize_chunk", found->quantize_chunk_);

  void (*load_backends)(const char*);
  library = OpenLibrary(*ggml);
  Bind(library, "ggml_backend_load_all_from_path", load_backends);

  void (*set_log)(void (*)(int, const char*, void*), void*);
  library = OpenLibrary(*llama);
  Bind(library, "llama_log_set", set_log);
  Bind(library, "llama_model_quantize_default_params", found->quantize_defaults_);
  Bind(library, "llama_model_quantize", found->quantize_file_);
  Bind(library, "llama_model_default_params", found->model_defaults_);
  Bind(library, "llama_context_default_params", found->context_defaults_);
  Bind(library, "llama_model_load_from_file", found->load_);
  Bind(library, "llama_model_free", found->free_model_);
  Bind(library, "llama_init_from_model", found->make_context_);
  Bind(library, "llama_free", found->free_context_);
  Bind(library, "llama_set_n_threads", found->set_threads_);
  Bind(library, "llama_adapter_lora_init", found->load_adapter_);
  Bind(library, "llama_set_adapters_lora", found->set_adapters_);
  Bind(library, "llama_model_get_vocab", found->words_);
  Bind(library, "llama_vocab_n_tokens", found->count_words_);
  Bind(library, "llama_tokenize", found->tokenize_);
  Bind(library, "llama_decode", found->decode_);
  Bind(library, "llama_get_logits_ith", found->logits_);
  set_log(Ignore, nullptr);
  load_backends(folder.c_str());
  return found;
}

std::unique_ptr<const LlamaLibrary> LlamaLibrary::Require(const std::filesystem::path& source) {
  auto library = Find(source);
  if (library == nullptr)
    Fail(ErrorKind::kUnsupported, "llama.cpp is not installed in bench/peers; see its README.md");
  return library;
}

bool LlamaLibrary::NeedsImportance(Type type) const {
  return needs_importance_(static_cast<std::uint32_t>(type));
}

void LlamaLibrary::QuantizeRows(Type type, const float* values, std::byte* blocks, std::int64_t rows,
                                std::int64_t cols, const float* importance) const {
  quantize_chunk_(static_cast<std::uint32_t>(type), values, blocks, 0, rows, cols, importance);
}

std::vector<std::byte> LlamaLibrary::Quantize(Type type, std::span<const float> values, std::int64_t cols,
                                              const float* importance) const {
  const std::int64_t rows = std::ssize(values) / cols;
  const std::int64_t row_bytes = RowBytes(type, cols), step = 16, tasks = (rows + step - 1) / step;
  std::vector<std::byte> blocks(static_cast<std::size_t>(rows * row_bytes));
  ParallelFor(tasks, [&](std::int64_t task) {
    const std::int64_t row = task * step;
    QuantizeRows(type, values.data() + row * cols, blocks.data() + row * row_bytes,
                 std::min(step, rows - row), cols, importance);
  });
  return blocks;
}

void LlamaLibrary::QuantizeFile(const std::filesystem::path& in, const std::filesystem::path& out,
                                std::uint32_t file_type) const {
  Parameters<QuantizeHead> parameters = quantize_defaults_();
  parameters.head.threads = Threads();
  parameters.head.file_type = static_cast<std::int32_t>(file_type);
  parameters.head.allow_requantize = true;
  if (quantize_file_(in.c_str(), out.c_str(), &parameters) != 0) {
    Fail(ErrorKind::kUnsupported, "{}: llama.cpp does not quantise it to file type {}", in.string(),
         file_type);
  }
}

LlamaModel::LlamaModel(const LlamaLibrary& library, const std::filesystem::path& path)
    : library_(library), model_(library.load_(path.c_str(), library.model_defaults_())) {
  if (model_ == nullptr) Fail(ErrorKind::kInvalidFile, "{}: llama.cpp does not load it", path.string());
}

LlamaModel::~LlamaModel() { library_.free_model_(model_); }

std::int32_t LlamaModel::vocab_size() const { return library_.count_words_(library_.words_(model_)); }

std::vector<std::int32_t> LlamaModel::Encode(std::string_view text, bool parse_special) const {
  const auto size = static_cast<std::int32_t>(text.size());
  std::vector<std::int32_t> ids(text.size() +
                                8);  // a token is a byte at least, and a space may come in front
  const std::int32_t count = library_.tokenize_(library_.words_(model_), text.data(), size, ids.data(),
                                                static_cast<std::int32_t>(ids.size()), false, parse_special);
  if (count < 0) Fail(ErrorKind::kUnsupported, "llama.cpp does not tokenise {} bytes: {}", size, count);
  ids.resize(count);
  return ids;
}

void LlamaModel::Adapt(const std::filesystem::path& adapter, float factor) {
  adapter_ = library_.load_adapter_(model_, adapter.c_str());
  if (adapter_ == nullptr) Fail(ErrorKind::kInvalidFile, "{}: llama.cpp does not load it", adapter.string());
  adapter_factor_ = factor;
}

std::vector<float> LlamaModel::Logits(std::span<const std::int32_t> tokens) const {
  LlamaLibrary::Context* context = library_.make_context_(model_, library_.context_defaults_());
  if (context == nullptr) Fail(ErrorKind::kUnsupported, "llama.cpp makes no context of the model");
  library_.set_threads_(context, Threads(), Threads());
  LlamaLibrary::Adapter* adapter = adapter_;
  float factor = adapter_factor_;
  if (adapter != nullptr && library_.set_adapters_(context, &adapter, 1, &factor) != 0) {
    library_.free_context_(context);
    Fail(ErrorKind::kUnsupported, "llama.cpp does not apply the adapter");
  }
  std::vector<std::int32_t> ids(tokens.begin(), tokens.end());
  std::vector<std::int8_t> wanted(ids.size(), 1);
  // Where positions and sequences are null, llama.cpp counts them from 0.
  const std::int32_t failed = library_.decode_(context, {static_cast<std::int32_t>(ids.size()), ids.data(),
                                                         nullptr, nullptr, nullptr, nullptr, wanted.data()});
  std::vector<float> logits;
  for (std::int32_t i = 0; failed == 0 && i < std::ssize(tokens); ++i) {
    const float* row = library_.logits_(context, i);
    logits.insert(logits.end(), row, row + vocab_size());
  }
  library_.free_context_(context);
  if (failed != 0) Fail(ErrorKind::kUnsupported, "llama.cpp does not run the model: {}", failed);
  return logits;
}

}  // namespace longspan::peers
