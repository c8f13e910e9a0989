// A vocabulary that nobody trained, for models that nobody trained: any size, and any text can be encoded.
#pragma once

#include <cstdint>

#include "text/vocabulary.h"

namespace longspan {

// Byte-level BPE of `size` tokens: the 256 bytes, begin and end of text, and then the strings of small
// letters by length and alphabet (aa, ab, ..., zz, aaa, ...), each merged from the one before it and its last
// letter. Error(kBadOption) for fewer than 258 tokens.
Vocabulary SyntheticVocabulary(std::int64_t size);

}  // namespace longspan
