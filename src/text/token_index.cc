#include "text/token_index.h"

#include <algorithm>
#include <bit>

namespace longspan {

TokenIndex::TokenIndex(std::size_t tokens)
    : mask_(std::bit_ceil(2 * tokens + 1) - 1),  // at most half full, so that a search ends soon
      slots_(mask_ + 1) {
  entries_.reserve(tokens);
}

void TokenIndex::Add(std::string_view text, std::int32_t id) {
  if (Find(text) >= 0) return;
  const std::uint64_t hash = Hash(text);
  std::size_t i = hash & mask_;
  while (slots_[i].entry >= 0) i = (i + 1) & mask_;
  slots_[i] = {Tag(hash), static_cast<std::int32_t>(entries_.size())};
  entries_.push_back({text, id});
  longest_ = std::max(longest_, text.size());
}

}  // namespace longspan
