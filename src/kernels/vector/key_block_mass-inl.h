// Kernels::KeyBlockMass: attention of pooled queries to pooled keys, a panel of pooled queries at a time.
#if defined(LONGSPAN_KERNELS_VECTOR_KEY_BLOCK_MASS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_KEY_BLOCK_MASS_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_KEY_BLOCK_MASS_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_KEY_BLOCK_MASS_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/kv-inl.h"
#include "kernels/vector/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline constexpr std::int64_t kPoolsOfBlock = kKvBlock / kPooledKeys;

// to [n] (+)= row [n]
inline void AddRow(std::int64_t n, const float* row, bool add, float* to) {
  const FloatTag d;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const FloatVec x = hn::LoadU(d, row + i);
    hn::StoreU(add ? hn::Add(hn::LoadU(d, to + i), x) : x, d, to + i);
  }
  for (; i < n; ++i) to[i] = add ? to[i] + row[i] : row[i];
}

// The means of each kPooledKeys keys of a KV block: out [kPoolsOfBlock, head_dim], of which as many rows are
// written as there are keys for.
inline void PoolKeys(const KvBlock& block, std::int64_t head_dim, float* row, float* out) {
  WithKvType(block.type, [&](auto type) {
    for (std::int64_t i = 0; i < block.count; ++i) {
      WidenRow<decltype(type)::value>(block.k.row(i), head_dim, row);
      AddRow(head_dim, row, i % kPooledKeys != 0, out + i / kPooledKeys * head_dim);
    }
  });
  for (std::int64_t first = 0; first < block.count; first += kPooledKeys) {
    const float inverse = 1.0f / static_cast<float>(std::min(kPooledKeys, block.count - first));
    float* to = out + first / kPooledKeys * head_dim;
    for (std::int64_t d = 0; d < head_dim; ++d) to[d] *= inverse;
  }
}

// One panel of pooled queries of one head, and the pooled keys [pools, head_dim] of its KV head.
class PooledPanel {
 public:
  // The pooled queries [first, first + kPanel) of `head`, or as many as there are.
  PooledPanel(const AttentionShape& shape, const AttentionInput& s, std::int64_t head, std::int64_t first)
      : first_(first), count_(std::min(kPanel, (s.q.rows + kPooledQueries - 1) / kPooledQueries - first)) {
    static thread_local AlignedVector<float> memory;
    const std::int64_t hd = shape.head_dim;
    memory.resize(hd * (kPanel + 2));
    queries_ = memory.data();
    float *mean = queries_ + hd * kPanel, *scratch = mean + hd;
    std::fill_n(queries_, hd * kPanel, 0.0f);
    for (std::int64_t c = 0; c < kPanel; ++c) {
      const std::int64_t begin = (first + std::min(c, count_ - 1)) * kPooledQueries;
      const std::int64_t end = std::min(begin + kPooledQueries, s.q.rows);
      from_[c] = static_cast<std::int32_t>(FirstSeen(shape, s, s.first_order + begin) / kPooledKeys);
      to_[c] = static_cast<std::int32_t>((s.first_order + end - 1) / kPooledKeys);
      if (c >= count_) continue;
      for (std::int64_t i = begin; i < end; ++i) AddRow(hd, &s.q.at(i, head * hd), i > begin, mean);
      if (s.kv.rotated()) Hadamard(hd, mean, scratch);
      const float factor = shape.scale / static_cast<float>(end - begin);
      for (std::int64_t d = 0; d < hd; ++d) queries_[d * kPanel + c] = factor * mean[d];
    }
  }

  // Adds each pooled query's probability of each KV block to its row of mass [query blocks, KV blocks].
  void AddMass(const float* keys, std::int64_t head_dim, Rows mass) {
    static thread_local AlignedVector<float> scores, sums;
    const std::int64_t pools = *std::max_element(to_, to_ + kPanel) + 1;
    const std::int64_t first = *std::min_element(from_, from_ + kPanel) / kPoolsOfBlock * kPoolsOfBlock;
    const std::int64_t blocks = (pools - first + kPoolsOfBlock - 1) / kPoolsOfBlock;
    scores.resize((pools - first) * kPanel);
    sums.resize(blocks * kPanel);
    PanelProduct(pools - first, head_dim, {keys + first * head_dim, head_dim, 1}, queries_, kPanel,
                 scores.data(), kPanel, false);
    for (std::int64_t half = 0; half < kPanel; half += kLanes)
      SumBlocks(first, pools, half, scores.data(), sums.data());
    for (std::int64_t b = 0; b < blocks; ++b) {
      for (std::int64_t c = 0; c < count_; ++c)
        mass.at((first_ + c) / kPoolsOfQueries, first / kPoolsOfBlock + b) += sums[b * kPanel + c];
    }
  }

 private:
  // The softmax of a vector of columns: scores of the pools [first, pools) become sums of the blocks.
  void SumBlocks(std::int64_t first, std::int64_t pools, std::int64_t half, const float* scores,
                 float* sums) const {
    const FloatTag d;
    const IntTag di;
    const auto from = hn::LoadU(di, from_ + half), to = hn::LoadU(di, to_ + half);
    const auto score = [&](std::int64_t g) {
      const auto pool = hn::Set(di, static_cast<std::int32_t>(g));
      const auto hidden = hn::Or(hn::Gt(pool, to), hn::Lt(pool, from));
      return hn::IfThenElse(hn::RebindMask(d, hidden), hn::Set(d, kHidden),
                            hn::LoadU(d, scores + (g - first) * kPanel + half));
    };
    FloatVec largest = hn::Set(d, kHidden);
    for (std::int64_t g = first; g < pools; ++g) largest = hn::Max(largest, score(g));
    FloatVec total = hn::Zero(d);
    for (std::int64_t block = first; block < pools; block += kPoolsOfBlock) {
      FloatVec sum = hn::Zero(d);
      for (std::int64_t g = block; g < std::min(block + kPoolsOfBlock, pools); ++g)
        sum = hn::Add(sum, hn::Exp(d, hn::Sub(score(g), largest)));
      hn::StoreU(sum, d, sums + (block - first) / kPoolsOfBlock * kPanel + half);
      total = hn::Add(total, sum);
    }
    const FloatVec inverse = hn::Div(hn::Set(d, 1.0f), total);
    for (std::int64_t block = first; block < pools; block += kPoolsOfBlock) {
      float* at = sums + (block - first) / kPoolsOfBlock * kPanel + half;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), inverse), d, at);
    }
  }

  static constexpr float kHidden = -1e30f;
  static constexpr std::int64_t kPoolsOfQueries = KeyBlocks::kQueries / kPooledQueries;

  const std::int64_t first_, count_;
  float* queries_;                          // [head_dim, kPanel]
  std::int32_t from_[kPanel], to_[kPanel];  // the first and last pool that a column sees
};

inline void KeyBlockMassOf(const AttentionShape& shape, const AttentionInput& s, Rows mass) {
  const std::int64_t hd = shape.head_dim, blocks = s.kv.blocks();
  static thread_local AlignedVector<float> memory;
  memory.resize(shape.kv_heads * blocks * kPoolsOfBlock * hd);
  float* keys = memory.data();  // all threads use the caller's: [kv_heads, pools, head_dim]
  ParallelFor(shape.kv_heads * blocks, [&](std::int64_t i) {
    static thread_local AlignedVector<float> row;
    row.resize(hd);
    PoolKeys(s.kv.Block(i / blocks, i % blocks), hd, row.data(), keys + i * kPoolsOfBlock * hd);
  });
  const std::int64_t query_blocks = KeyBlocks::QueryBlocks(s.q.rows);
  const std::int64_t pooled = (s.q.rows + kPooledQueries - 1) / kPooledQueries;
  ParallelFor(shape.heads, [&](std::int64_t head) {
    const Rows of_head = mass.Slice(head * query_blocks, query_blocks);
    for (std::int64_t i = 0; i < query_blocks; ++i) std::ranges::fill(of_head[i], 0.0f);
    const float* of_kv_head = keys + head / shape.group() * blocks * kPoolsOfBlock * hd;
    for (std::int64_t first = 0; first < pooled; first += kPanel)
      PooledPanel(shape, s, head, first).AddMass(of_kv_head, hd, of_head);
    // Sums of the pooled queries become means.
    const std::int64_t pools = KeyBlocks::kQueries / kPooledQueries;
    for (std::int64_t i = 0; i < query_blocks; ++i) {
      const float inverse = 1.0f / static_cast<float>(std::min(pools, pooled - i * pools));
      for (float& x : of_head[i]) x *= inverse;
    }
  });
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
