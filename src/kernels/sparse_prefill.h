// Sparse prefill: deep in a long text, a query attends to the KV blocks that matter to it and to no others.
//
// Attention of a long text gives most of its probability to few keys, and which these are differs from head
// to head (Jiang et al. 2024, "MInference"). Kernels::KeyBlockMass estimates each KV block's share from means
// of neighbouring queries and keys, as Lai et al. 2025 ("FlexPrefill") do. Blocks are taken from the largest
// share down until they make up a threshold of the whole (Xu et al. 2025, "XAttention"). The first block and
// those just before the queries are always taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "kernels/kernels.h"
#include "kernels/key_blocks.h"

namespace longspan {

struct SparsePrefill {
  static constexpr std::int64_t kFrom = 16384;
  static constexpr float kThreshold = 0.95f;

  float threshold = kThreshold;  // of the estimated probability, that the chosen blocks make up
  std::int64_t from = kFrom;     // blocks of queries that begin at a lower order attend to all keys
  std::int64_t budget = 0;       // most keys that a block of queries attends to; 0: no limit

  // KV blocks that are always taken, whatever the budget: of the first keys, which attract attention
  // whatever they are (Xiao et al. 2024, "attention sinks"), and of those before the queries' own.
  static constexpr std::int64_t kFirstBlocks = 1, kLocalBlocks = 4;
};

// How many of the KV blocks that a choice was made among were chosen. May be counted from several threads.
struct SparseTally {
  std::atomic<std::int64_t> seen = 0, chosen = 0;
  double fraction() const {
    return seen == 0 ? 1 : static_cast<double>(chosen.load()) / static_cast<double>(seen.load());
  }
};

// Chooses KV blocks for every head and block of queries of `s`. Nothing where the choice would be everything:
// no block of queries begins at `from` or later, or there are fewer than KeyBlocks::kQueries queries. So
// reading token by token is never sparse, and results depend on how a text was cut into calls. Calls of the
// same multiple of KeyBlocks::kQueries tokens choose alike.
std::optional<KeyBlocks> ChooseKeyBlocks(const Kernels& kernels, const AttentionShape& shape,
                                         const AttentionInput& s, const SparsePrefill& sparse,
                                         SparseTally* tally = nullptr);

// One row of such a choice. Of the KV blocks [first, last], those that `mass` [blocks] asks for become 1 in
// `chosen` [blocks], and so do the first and the local ones; the queries' own blocks are [own, last]. Returns
// how many are chosen.
std::int64_t ChooseBlocks(std::span<const float> mass, std::int64_t first, std::int64_t own,
                          std::int64_t last, const SparsePrefill& sparse, std::span<std::uint8_t> chosen);

}  // namespace longspan
