// Byte-level BPE, as GPT-2 introduced it and Llama 3 uses it: text is cut into words, a word's bytes are the
// first symbols, and of all neighbours that have a merge the best-ranked pair is joined until none is left
// (Sennrich et al. 2016; Radford et al. 2019). Where every byte is a token, any byte string can be encoded
// and comes back unchanged. Some vocabularies lack bytes that text hardly has, such as SmolLM2's; these are
// left out before anything is merged, as huggingface/tokenizers does.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe_merger.h"
#include "text/pre_tokenizer.h"
#include "text/token_index.h"
#include "text/tokenizer.h"
#include "text/word_cache.h"

namespace longspan {

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary);

 protected:
  void EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const override;

 private:
  void EncodePart(std::string_view text, std::vector<std::int32_t>& ids) const;
  void EncodeWords(const WordBatch& batch, WordCache& cache, std::vector<std::int32_t>& ids) const;
  // The word of `text` from `begin` to `end`, which is long or not among the short words of the cache.
  void EncodeRareWord(std::string_view text, std::size_t begin, std::size_t end, WordCache& cache,
                      std::vector<std::int32_t>& ids) const;

  PreTokenizer pre_tokenizer_;
  TokenIndex index_;  // of normal tokens
  BpeMerger merger_;
  mutable WordCaches caches_;
};

}  // namespace longspan
