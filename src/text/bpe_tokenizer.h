// Byte-level BPE, as GPT-2 introduced it and Llama 3 uses it: text is cut into words, a word's bytes are the
// first symbols, and of all neighbours that have a merge the best-ranked pair is joined until none is left
// (Sennrich et al. 2016; Radford et al. 2019). Where every byte is a token, any byte string can be encoded
// and comes back unchanged. Some vocabularies lack bytes that text hardly has, such as SmolLM2's; these are
// left out before anything is merged, as huggingface/tokenizers does.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/symbol_merger.h"
#include "text/tokenizer.h"
#include "text/word_cache.h"

namespace longspan {

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary);

 protected:
  void EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const override;

 private:
  struct Pairs;  // of neighbours, as SymbolCells asks for them
  void CollectBytes();
  void CollectMerges();
  // Returns how many bytes were left out.
  std::int64_t MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const;

  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string_view, std::int32_t> ids_;       // of normal tokens, by their bytes
  std::array<std::int32_t, 256> byte_ids_{};                     // -1: none
  std::unordered_map<std::uint64_t, SymbolCells::Join> merges_;  // by the pair of ids
  mutable WordCache cache_;
};

}  // namespace longspan
