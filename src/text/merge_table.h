// Which pairs of tokens are merged, in which order, into what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"

namespace longspan {

// A hash table with open addressing and 8 bytes a slot: most questions are answered by one cache line. Once
// filled, it is safe to use from several threads.
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  // Of ids below `tokens` and ranks below `merges`. Error(kUnsupported) where both are too many for a slot.
  MergeTable(std::size_t tokens, std::size_t merges);

  // Of several merges of a pair, the first counts.
  void Add(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t joined);

  // The rank of the pair's merge, or kNone. The lowest rank is merged first.
  std::uint32_t Rank(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = Key(left, right);
    for (std::size_t i = First(key);; i = (i + 1) & mask_) {
      const std::uint64_t slot = slots_[i];
      if (slot == kEmpty) return kNone;
      if ((slot - 1) >> rank_bits_ == key) return static_cast<std::uint32_t>((slot - 1) & rank_mask_);
    }
  }

  // What the merge of this rank makes.
  std::int32_t Joined(std::uint32_t rank) const { return joined_[rank]; }

 private:
  static constexpr std::uint64_t kEmpty = 0;  // as memory is at first

  std::uint64_t Key(std::int32_t left, std::int32_t right) const {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << id_bits_ | static_cast<std::uint32_t>(right);
  }
  std::size_t First(std::uint64_t key) const { return key * 0x9E3779B97F4A7C15 >> shift_; }

  int id_bits_, rank_bits_, shift_;
  std::uint64_t rank_mask_;
  std::size_t mask_;
  HugePages memory_;
  std::uint64_t* slots_;  // the key, then the rank, plus one
  std::vector<std::int32_t> joined_;
};

}  // namespace longspan
