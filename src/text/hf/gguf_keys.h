// GGUF's keys for what a Vocabulary has no member for, and conventions that reading and writing share.
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"

namespace longspan {

inline constexpr const char* kEomKey = "tokenizer.ggml.eom_token_id";
inline constexpr const char* kRemoveSpacesKey = "tokenizer.ggml.remove_extra_whitespaces";
inline constexpr const char* kTemplateKey = "tokenizer.chat_template";    // a named one adds ".NAME"
inline constexpr const char* kTemplatesKey = "tokenizer.chat_templates";  // the names
inline constexpr const char* kDefaultTemplate =
    "default";  // in Hugging Face's lists, the name of the template that has none in GGUF

// An id that the tokenizer has no token for, but the model has a row for.
inline std::string UnusedTokenName(std::size_t id) { return fmt::format("[PAD{}]", id); }

}  // namespace longspan
