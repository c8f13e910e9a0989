// GGUF's keys for what a Vocabulary has no member for, and conventions that reading and writing share.
#pragma once

#include <cstddef>
#include <string>

#include "base/error.h"

namespace longspan {

inline constexpr const char* kEomKey = "tokenizer.ggml.eom_token_id";
inline constexpr const char* kRemoveSpacesKey = "tokenizer.ggml.remove_extra_whitespaces";
inline constexpr const char* kTemplateKey = "tokenizer.chat_template";    // one by name: with ".NAME" behind
inline constexpr const char* kTemplatesKey = "tokenizer.chat_templates";  // the names
inline constexpr const char* kDefaultTemplate =
    "default";  // the name of the one without, in Hugging Face's lists

// An id that the tokenizer has no token for, but the model has a row for.
inline std::string UnusedTokenName(std::size_t id) { return fmt::format("[PAD{}]", id); }

}  // namespace longspan
