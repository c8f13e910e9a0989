#include "kernels/sparse_prefill.h"

#include <algorithm>
#include <vector>

#include "base/parallel.h"

namespace longspan {

std::int64_t ChooseBlocks(std::span<const float> mass, std::int64_t first, std::int64_t own,
                          std::int64_t last, const SparsePrefill& sparse, std::span<std::uint8_t> chosen) {
  // What is no number counts as nothing: it could not be sorted.
  const auto weight = [&](std::int64_t block) { return mass[block] > 0 ? mass[block] : 0.0f; };
  std::int64_t taken = 0;
  double share = 0;
  const auto take = [&](std::int64_t block) {
    chosen[block] = 1;
    share += weight(block);
    ++taken;
  };
  const std::int64_t local = std::max(first, own - SparsePrefill::kLocalBlocks);
  const std::int64_t first_end = std::min(std::max(first, SparsePrefill::kFirstBlocks), local);
  for (std::int64_t b = first; b < first_end; ++b) take(b);
  for (std::int64_t b = local; b <= last; ++b) take(b);

  std::vector<std::int64_t> rest;
  double rest_share = 0;
  for (std::int64_t b = first_end; b < local; ++b) {
    rest.push_back(b);
    rest_share += weight(b);
  }
  // Of equal blocks the later one comes first, so that the order is one and the same everywhere.
  std::ranges::sort(rest, [&](std::int64_t a, std::int64_t b) {
    return weight(a) != weight(b) ? weight(a) > weight(b) : a > b;
  });
  // A sum of everything may come out below 1, so a threshold of 1 is no number to compare with.
  const double wanted = sparse.threshold < 1 ? sparse.threshold * (share + rest_share) : 2;
  const std::int64_t most = sparse.budget > 0 ? sparse.budget / kKvBlock : last + 1;
  for (const std::int64_t b : rest) {
    if (share >= wanted || taken >= most) break;
    take(b);
  }
  return taken;
}

std::optional<KeyBlocks> ChooseKeyBlocks(const Kernels& kernels, const AttentionShape& shape,
                                         const AttentionInput& s, const SparsePrefill& sparse,
                                         SparseTally* tally) {
  const std::int64_t queries = s.q.rows;
  if (queries < KeyBlocks::kQueries) return std::nullopt;
  const std::int64_t query_blocks = KeyBlocks::QueryBlocks(queries);
  if (s.first_order + (query_blocks - 1) * KeyBlocks::kQueries < sparse.from) return std::nullopt;

  KeyBlocks blocks(shape.heads, queries, s.kv.blocks());
  Matrix mass(shape.heads * query_blocks, s.kv.blocks());
  kernels.KeyBlockMass(shape, s, mass);
  ParallelFor(shape.heads * query_blocks, [&](std::int64_t i) {
    const std::int64_t head = i / query_blocks, query_block = i % query_blocks;
    const std::int64_t row = query_block * KeyBlocks::kQueries, begin = s.first_order + row;
    const std::span<std::uint8_t> chosen = blocks.Row(head, query_block);
    if (begin < sparse.from) {
      std::ranges::fill(chosen, 1);
      return;
    }
    const std::int64_t end = s.first_order + std::min(row + KeyBlocks::kQueries, queries);
    const std::int64_t first = FirstSeen(shape, s, begin) / kKvBlock, last = (end - 1) / kKvBlock;
    const std::int64_t taken = ChooseBlocks(mass[i], first, begin / kKvBlock, last, sparse, chosen);
    if (tally == nullptr) return;
    tally->seen += last - first + 1;
    tally->chosen += taken;
  });
  return blocks;
}

}  // namespace longspan
