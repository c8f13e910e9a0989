// What a user should be told about a vocabulary and its texts. The library does not print; a command calls
// these.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/progress.h"
#include "text/tokenizer.h"

namespace longspan {

// What was odd about where the vocabulary was read from: once, when a command begins.
void WarnAbout(const Vocabulary& vocabulary, Progress& progress);

// How many bytes of its texts the tokenizer left out, if any: once, when a command ends.
void WarnOfBytesLeftOut(const Tokenizer& tokenizer, Progress& progress);

// Whether `ids`, which were encoded with add_bos, begin with that token twice, because the text has it too.
// `remedy` says what the user can do.
void WarnOfTwoBos(const Tokenizer& tokenizer, std::span<const std::int32_t> ids, std::string_view remedy,
                  Progress& progress);

}  // namespace longspan
