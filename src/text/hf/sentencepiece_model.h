// SentencePiece's tokenizer.model: a protobuf of the message ModelProto (google/sentencepiece,
// sentencepiece_model.proto). Only its BPE models are handled, which is what Llama 1 and 2 and Mistral have.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "text/tokenizer_draft.h"

namespace longspan {

// Whether a file's bytes look like such a model, rather than like a tiktoken file of the same name.
bool IsSentencePiece(std::span<const std::byte> bytes);

// Error(kInvalidFile), naming `file` and the byte, for what is broken; Error(kUnsupported) for other kinds of
// models and for normalisation that is more than spaces.
TokenizerDraft ParseSentencePiece(std::span<const std::byte> bytes, const std::string& file);

// The first `size` tokens of `vocabulary` as such a file. Scores and kinds come back from it unchanged.
std::string SentencePieceFile(const Vocabulary& vocabulary, std::size_t size, bool remove_extra_whitespaces);

}  // namespace longspan
