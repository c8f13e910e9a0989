// Byte-level BPE, as GPT-2 introduced it and Llama 3 uses it: text is cut into words, a word's bytes are the
// first symbols, and of all neighbours that have a merge the best-ranked pair is joined until none is left
// (Sennrich et al. 2016; Radford et al. 2019). Every byte is a token, so any byte string can be encoded and
// comes back unchanged.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/word_cache.h"

namespace longspan {

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary);

 protected:
  void EncodeText(std::string_view text, bool first, std::vector<std::int32_t>& ids) const override;

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t id;  // of the joined symbol
  };
  void CollectBytes();
  void CollectMerges();
  void MergeWord(std::string_view word, std::vector<std::int32_t>& ids) const;
  const Merge* FindMerge(std::int32_t left, std::int32_t right) const;

  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // of normal tokens, by their bytes
  std::array<std::int32_t, 256> byte_ids_{};
  std::unordered_map<std::uint64_t, Merge> merges_;  // by the pair of ids
  mutable WordCache cache_;
};

}  // namespace longspan
