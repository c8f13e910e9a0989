// What tells texts apart: 128 bits, so that no two of a million million texts meet by chance.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"

namespace longspan {

struct TextHash {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const TextHash&) const = default;
};

// Hash64 for the high half, and other steps of the same kind for the low one. It does not resist an
// adversary.
inline TextHash HashText(std::string_view text) {
  Hash64 high;
  high.Update(text);
  std::uint64_t low = 0x9FB21C651E98DF25u ^ text.size();
  const auto take = [&](std::size_t bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), bytes);
    low = std::rotl(low ^ std::rotl(word * 0xC2B2AE3D27D4EB4Fu, 31) * 0x165667B19E3779F9u, 27) *
              0x9E3779B185EBCA87u +
          0x85EBCA77C2B2AE63u;
    text.remove_prefix(bytes);
  };
  while (text.size() >= sizeof low) take(sizeof low);
  if (!text.empty()) take(text.size());
  low = (low ^ low >> 33) * 0xFF51AFD7ED558CCDu;
  low = (low ^ low >> 29) * 0xC4CEB9FE1A85EC53u;
  return {high.value(), low ^ low >> 32};
}

}  // namespace longspan
