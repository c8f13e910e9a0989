// Byte-level BPE of one word.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/merge_table.h"
#include "text/token_index.h"
#include "text/tokenizer.h"

namespace longspan {

// Thread-safe.
class BpeMerger {
 public:
  // `index` has the normal tokens. The pieces' lengths are those of `tokenizer`, which must outlive this.
  // Error(kInvalidFile) where a byte of text has no token, or a merge is not one.
  BpeMerger(const Tokenizer& tokenizer, const TokenIndex& index);

  // Appends the ids of `word`. Returns how many of its bytes were left out, because no token stands for them.
  // Error(kUnsupported) beyond 2^31 bytes. Time is nearly linear in the word's length.
  std::int64_t Merge(std::string_view word, std::vector<std::int32_t>& ids) const;

 private:
  struct Pairs;  // of neighbours, as SymbolCells asks for them
  void CollectBytes(const TokenIndex& index);
  void CollectMerges(const TokenIndex& index);
  std::int64_t MergeShort(std::string_view word, std::vector<std::int32_t>& ids) const;
  std::int64_t MergeLong(std::string_view word, std::vector<std::int32_t>& ids) const;

  const Tokenizer& tokenizer_;
  std::array<std::int32_t, 256> byte_ids_{};  // -1: none
  MergeTable merges_;
  std::vector<std::uint32_t> byte_ranks_;  // of the merge of two bytes, by 256 times the first and the second
};

}  // namespace longspan
