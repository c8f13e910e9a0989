// Hugging Face's tokenizer.json (the format of huggingface/tokenizers): byte-level BPE (Llama 3, Qwen2) and
// SentencePiece's BPE with byte fallback (Llama 1 and 2, Mistral).
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer_draft.h"

namespace longspan {

inline constexpr std::uint64_t kMaxTokenizerJson = std::uint64_t{64} << 20;

// Error(kInvalidFile), naming `file`, for what is broken or at odds with itself; Error(kUnsupported), naming
// it, for models, pre-tokenizers and normalizers that GGUF's readers would do differently.
//
// Two things are lost, as in other GGUF files: Unicode normalisation (NFC) before byte-level BPE, and added
// tokens' lstrip, rstrip, normalized and single_word.
TokenizerDraft ParseTokenizerJson(std::string_view text, const std::string& file);

}  // namespace longspan
