// What tells two tokenizers apart.
#pragma once

#include <cstdint>

#include "text/vocabulary.h"

namespace longspan {

// A hash of everything that decides which ids a text becomes: tokens with their kinds and scores, merges, the
// pre-tokenizer's rule. Names of the rule, special ids and the chat template do not count, because they
// change no id of plain text. Tokenizers with equal fingerprints encode alike.
std::uint64_t Fingerprint(const Vocabulary& vocabulary);

}  // namespace longspan
