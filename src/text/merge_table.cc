#include "text/merge_table.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace longspan {

MergeTable::MergeTable(std::size_t tokens, std::size_t merges)
    : id_bits_(
          std::bit_width(tokens)),  // holds one more than the last id, so that adding one to a slot is safe
      rank_bits_(std::bit_width(merges)),
      shift_(64 -
             std::bit_width(merges + merges / 3 + 1)),  // at most three quarters full, so that a search ends
      filter_shift_(64 - std::max<int>(1, std::bit_width(merges) - 1)),
      rank_mask_((std::uint64_t{1} << rank_bits_) - 1),
      mask_((std::size_t{1} << (64 - shift_)) - 1),
      memory_((mask_ + 1) * sizeof(std::uint64_t)),
      slots_(reinterpret_cast<std::uint64_t*>(memory_.bytes().data())),
      joined_(merges, -1),
      filter_(std::size_t{1} << (64 - filter_shift_)) {
  if (2 * id_bits_ + rank_bits_ > 64) {
    Fail(ErrorKind::kUnsupported,
         "tokenizer: {} tokens and {} merges are too many, expected fewer than 2^20 and 2^24", tokens,
         merges);
  }
}

void MergeTable::Add(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t joined) {
  if (Rank(left, right) != kNone) return;
  const std::uint64_t key = Key(left, right), hash = Hash(key);
  filter_[hash >> filter_shift_] |= FilterBit(hash);
  std::size_t i = hash >> shift_;
  while (slots_[i] != kEmpty) i = (i + 1) & mask_;
  slots_[i] = (key << rank_bits_ | rank) + 1;
  joined_[rank] = joined;
}

}  // namespace longspan
