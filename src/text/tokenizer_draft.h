// A tokenizer as one file describes it, before the files beside it are taken into account.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/vocabulary.h"

namespace longspan {

// More than any known vocabulary has, and few enough for a list of them to be harmless.
inline constexpr std::size_t kMaxTokens = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTokenBytes = std::size_t{1} << 16;

// A token that is found in text as a whole, before anything is merged.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;             // control, rather than text
  std::string file;                 // the file that says so
  std::optional<TokenEdges> edges;  // where the file has a place for them
};

// The tokens that are put before and after a text, each nothing unless it is a single token.
struct TextEnds {
  std::optional<std::string> first, last;
};

struct TokenizerDraft {
  std::string file;       // for messages
  Vocabulary vocabulary;  // ids that the file leaves out have an empty string, and are unused
  std::vector<AddedToken> added;
  std::optional<TextEnds> ends;
  bool remove_extra_whitespaces = false;  // SentencePiece's
};

}  // namespace longspan
