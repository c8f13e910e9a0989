// A tiktoken file, such as the tokenizer.model of Llama 3: a line for each token, its bytes in base64 and its
// rank, which is its id. It has no merges, no special tokens and no pre-tokenizer; those are code elsewhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_draft.h"

namespace longspan {

// The tokens' bytes by rank. Error(kInvalidFile) names `file` and the line.
std::vector<std::string> ParseTiktoken(std::string_view text, const std::string& file);

// A byte-level vocabulary of these tokens, with the merges that join as tiktoken does (any neighbours that
// are a token, the lowest rank first).
Vocabulary VocabularyFromRanks(const std::vector<std::string>& tokens, const std::string& file);

// Llama 3's tokenizer: its vocabulary, pre-tokenizer and 256 special tokens by their names in Llama 3.0.
// Error(kUnsupported) unless there are as many tokens as Llama 3 has.
TokenizerDraft Llama3FromTiktoken(std::string_view text, const std::string& file);

}  // namespace longspan
