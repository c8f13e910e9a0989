// Dividing a step's tokens among prompts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace longspan {

// Shares of `budget`, one for each want. No share exceeds its want, small wants are met in full, and the
// other shares differ by at most one.
inline std::vector<std::int64_t> FairShares(std::int64_t budget, std::span<const std::int64_t> wants) {
  std::vector<std::size_t> by_want(wants.size());
  std::iota(by_want.begin(), by_want.end(), std::size_t{0});
  std::ranges::stable_sort(by_want, {}, [&](std::size_t i) { return wants[i]; });
  std::vector<std::int64_t> shares(wants.size());
  auto left = static_cast<std::int64_t>(wants.size());
  for (const std::size_t i : by_want) {
    shares[i] = std::min(wants[i], budget / left--);
    budget -= shares[i];
  }
  return shares;
}

}  // namespace longspan
