// Which pairs of tokens are merged, in which order, into what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"

namespace longspan {

// A hash table with open addressing and 8 bytes a slot, behind a filter. Once filled, it is safe to use from
// several threads.
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  // Of ids below `tokens` and ranks below `merges`. Error(kUnsupported) where both are too many for a slot.
  MergeTable(std::size_t tokens, std::size_t merges);

  // Of several merges of a pair, the first counts.
  void Add(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t joined);

  // The rank of the pair's merge, or kNone. The lowest rank is merged first.
  std::uint32_t Rank(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = Key(left, right), hash = Hash(key);
    if ((filter_[hash >> filter_shift_] & FilterBit(hash)) == 0) return kNone;
    for (std::size_t i = hash >> shift_;; i = (i + 1) & mask_) {
      const std::uint64_t slot = slots_[i];
      if (slot == kEmpty) return kNone;
      if ((slot - 1) >> rank_bits_ == key) return static_cast<std::uint32_t>((slot - 1) & rank_mask_);
    }
  }

  // Asks for the memory that Rank reads first.
  void Prefetch(std::int32_t left, std::int32_t right) const {
    __builtin_prefetch(&filter_[Hash(Key(left, right)) >> filter_shift_]);
  }

  // What the merge of this rank makes.
  std::int32_t Joined(std::uint32_t rank) const { return joined_[rank]; }

 private:
  static constexpr std::uint64_t kEmpty = 0;  // as memory is at first

  std::uint64_t Key(std::int32_t left, std::int32_t right) const {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << id_bits_ | static_cast<std::uint32_t>(right);
  }
  static std::uint64_t Hash(std::uint64_t key) { return key * 0x9E3779B97F4A7C15; }
  static std::uint8_t FilterBit(std::uint64_t hash) {
    return static_cast<std::uint8_t>(1 << (hash >> 8 & 7));
  }

  int id_bits_, rank_bits_, shift_, filter_shift_;
  std::uint64_t rank_mask_;
  std::size_t mask_;
  HugePages memory_;
  std::uint64_t* slots_;  // the key, then the rank, plus one
  std::vector<std::int32_t> joined_;
  // A bit for each merge, by its hash, and for one pair in eight or so that is none: most pairs are none, and
  // this is small enough for a near cache to say so.
  std::vector<std::uint8_t> filter_;
};

}  // namespace longspan
