// A vocabulary as GGUF carries it: the tokenizer.* keys of ggml's docs/gguf.md.
#pragma once

#include "formats/gguf_value.h"
#include "text/vocabulary.h"

namespace longspan {

// Error(kInvalidFile) naming the file where keys are missing, of a wrong type or at odds with each other;
// Error(kUnsupported) for a tokenizer other than "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE).
// Faults that do no harm become warnings of the vocabulary: a missing pre-tokenizer, an id beyond the tokens.
Vocabulary ReadVocabulary(const GgufMetadata& metadata);

// Sets the keys that ReadVocabulary reads.
void WriteVocabulary(const Vocabulary& vocabulary, GgufMetadata& metadata);

}  // namespace longspan
