// Hugging Face's tokenizer.json (the format of huggingface/tokenizers): byte-level BPE (Llama 3, Qwen2) and
// SentencePiece's BPE with byte fallback (Llama 1 and 2, Mistral).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer_draft.h"

namespace longspan {

inline constexpr std::uint64_t kMaxTokenizerJson = std::uint64_t{64} << 20;

// Error(kInvalidFile), naming `file`, for what is broken or contradicts itself; Error(kUnsupported), naming
// it, for models, pre-tokenizers and normalizers that GGUF's readers would do differently.
//
// Two things are lost, as in other GGUF files: Unicode normalisation (NFC) before byte-level BPE, and whether
// added tokens are found in the normalised text.
TokenizerDraft ParseTokenizerJson(std::string_view text, const std::string& file);

// Only the tokens of such a file, for comparing it with another.
struct JsonTokens {
  std::vector<std::pair<std::string, std::int64_t>> vocabulary;  // the model's, with their ids
  std::vector<AddedToken> added;
};
JsonTokens ParseTokensOfJson(std::string_view text, const std::string& file);

}  // namespace longspan
