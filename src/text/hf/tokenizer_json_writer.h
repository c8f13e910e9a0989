// Hugging Face's tokenizer.json (the format of huggingface/tokenizers) of a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "text/vocabulary.h"

namespace longspan {

// The file for the first `size` tokens. A SentencePiece vocabulary's merges are made from its scores.
// Error(kInvalidFile), naming `source`, if a token is not UTF-8; Error(kUnsupported) for an unknown
// pre-tokenizer.
std::string TokenizerJson(const Vocabulary& vocabulary, std::size_t size, const std::string& source);

// Whether a token is found in text as a whole, before anything is merged.
bool IsAdded(TokenKind kind);

// The flags of the token `id` in a list of added tokens, without its content and id.
nlohmann::ordered_json AddedTokenFlags(const Vocabulary& vocabulary, std::int32_t id);

// `text` as a JSON string. Error(kInvalidFile), naming `source`, where it is not UTF-8.
std::string Quoted(std::string_view text, const std::string& source);

}  // namespace longspan
