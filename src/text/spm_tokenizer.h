// SentencePiece's BPE, as Llama 2 uses it (Kudo & Richardson 2018): a text's characters are the first
// symbols, and of all neighbours that together are a token the pair of the best score is joined until none is
// left. A character that is not a token becomes its bytes, <0xE2> and so on. Spaces are U+2581 in the
// vocabulary, so a U+2581 in the text comes back as a space: SentencePiece cannot tell them apart.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_index.h"
#include "text/tokenizer.h"
#include "text/word_cache.h"

namespace longspan {

class SpmTokenizer : public Tokenizer {
 public:
  explicit SpmTokenizer(Vocabulary vocabulary);

 protected:
  void EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const override;

 private:
  struct Pairs;  // of neighbours, as SymbolCells asks for them
  void CollectTokens();
  // The word of `text` from `begin` to `end`.
  void EncodeWord(std::string_view text, std::size_t begin, std::size_t end, WordCache& cache,
                  std::vector<std::int32_t>& ids) const;
  void MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const;
  void AppendBytes(std::string_view bytes, std::vector<std::int32_t>& ids) const;

  TokenIndex ids_;                            // of the tokens that text is made of
  std::array<std::int32_t, 256> byte_ids_{};  // -1: none
  bool splits_at_spaces_ = true;              // no token goes on after a space that follows something else
  mutable WordCaches caches_;
};

}  // namespace longspan
