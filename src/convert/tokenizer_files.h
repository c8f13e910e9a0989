// The tokenizer's files of a Hugging Face folder: text/hf_tokenizer.h, until it is there.
#pragma once

#include <cstdint>
#include <filesystem>

#include "formats/gguf_value.h"
#if __has_include("text/hf_tokenizer.h")
#include "text/hf_tokenizer.h"
#else
namespace longspan {
inline GgufMetadata ReadHfTokenizer(const std::filesystem::path&, std::int64_t) { return {}; }
inline void WriteHfTokenizer(const GgufMetadata&, const std::filesystem::path&) {}
}  // namespace longspan
#endif
