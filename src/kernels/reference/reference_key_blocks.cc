// Kernels::KeyBlockMass in plain loops.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace longspan::reference {
namespace {

// The mean of rows [first, end) of x.
std::vector<float> Mean(ConstRows x, std::int64_t first, std::int64_t end) {
  std::vector<float> mean(static_cast<std::size_t>(x.cols));
  for (std::int64_t i = first; i < end; ++i) {
    for (std::int64_t d = 0; d < x.cols; ++d) mean[d] += x.at(i, d);
  }
  for (float& m : mean) m /= static_cast<float>(end - first);
  return mean;
}

// The probability of each KV block for the mean of the queries [first, end) of one head, whose q is
// [n, head_dim] and whose keys are k [length, head_dim].
std::vector<float> PooledProbability(const AttentionShape& shape, const AttentionInput& s, ConstRows q,
                                     ConstRows k, std::int64_t first, std::int64_t end) {
  const std::vector<float> query = Mean(q, first, end);
  const std::int64_t first_pool = FirstSeen(shape, s, s.first_order + first) / kPooledKeys;
  const std::int64_t last_pool = (s.first_order + end - 1) / kPooledKeys;
  std::vector<float> scores;
  for (std::int64_t pool = first_pool; pool <= last_pool; ++pool) {
    const std::vector<float> key = Mean(k, pool * kPooledKeys, std::min((pool + 1) * kPooledKeys, k.rows));
    float sum = 0;
    for (std::size_t d = 0; d < key.size(); ++d) sum += query[d] * key[d];
    scores.push_back(sum * shape.scale);
  }
  const float largest = *std::ranges::max_element(scores);
  float total = 0;
  for (float& x : scores) total += x = std::exp(x - largest);
  std::vector<float> of_block(static_cast<std::size_t>(s.kv.blocks()));
  for (std::int64_t pool = first_pool; pool <= last_pool; ++pool)
    of_block[pool * kPooledKeys / kKvBlock] += scores[pool - first_pool] / total;
  return of_block;
}

}  // namespace

void KeyBlockMass(const AttentionShape& shape, const AttentionInput& s, ConstRows k, Rows mass) {
  const std::int64_t n = s.q.rows, query_blocks = KeyBlocks::QueryBlocks(n);
  for (std::int64_t h = 0; h < shape.heads; ++h) {
    const ConstRows q = s.q.Columns(h * shape.head_dim, shape.head_dim);
    const ConstRows keys = k.Columns(h / shape.group() * shape.head_dim, shape.head_dim);
    for (std::int64_t block = 0; block < query_blocks; ++block) {
      const std::span<float> row = mass[h * query_blocks + block];
      const std::int64_t begin = block * KeyBlocks::kQueries, end = std::min(begin + KeyBlocks::kQueries, n);
      const float pools = static_cast<float>((end - begin + kPooledQueries - 1) / kPooledQueries);
      std::ranges::fill(row, 0.0f);
      for (std::int64_t first = begin; first < end; first += kPooledQueries) {
        const auto p = PooledProbability(shape, s, q, keys, first, std::min(first + kPooledQueries, end));
        for (std::size_t b = 0; b < p.size(); ++b) row[b] += p[b] / pools;
      }
    }
  }
}

}  // namespace longspan::reference
