// Which token has a given text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace longspan {

// A hash table with open addressing. It keeps views of the texts, which must outlive it. Once filled, it is
// safe to use from several threads.
class TokenIndex {
 public:
  explicit TokenIndex(std::size_t tokens);  // room for so many

  // Of several tokens with the same text, the first is found.
  void Add(std::string_view text, std::int32_t id);

  // The token's id, or -1.
  std::int32_t Find(std::string_view text) const {
    if (text.size() > longest_) return -1;
    const std::uint64_t hash = Hash(text);
    for (std::size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.entry < 0) return -1;
      if (slot.tag == Tag(hash) && entries_[slot.entry].text == text) return entries_[slot.entry].id;
    }
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;  // a part of the hash, so that few texts are compared in vain
    std::int32_t entry = -1;
  };
  struct Entry {
    std::string_view text;
    std::int32_t id;
  };
  static std::uint64_t Hash(std::string_view text) { return std::hash<std::string_view>{}(text); }
  static std::uint32_t Tag(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

  std::size_t longest_ = 0, mask_;
  std::vector<Slot> slots_;
  std::vector<Entry> entries_;
};

}  // namespace longspan
