#include "kernels/bf16/attention.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/bf16/unpack.h"
#include "tensor/rows.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")
#include "kernels/bf16/key_products.h"
#include "kernels/bf16/softmax.h"
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {
namespace {

// Columns of a task: enough to make transposing V cheap, and few enough that their queries and sums stay in
// the second-level cache.
inline constexpr std::int64_t kColumns = 512;
// KV blocks that one panel takes one after another. The panel stays in the first-level cache meanwhile, and
// the KV blocks in the second.
inline constexpr std::int64_t kBlocksAtOnce = 8;

std::int64_t QueriesPerTask(const AttentionShape& shape) { return RoundUp(kColumns / shape.group(), kPanel); }

// The working memory of a thread, kept from task to task.
struct Scratch {
  AlignedVector<std::byte> queries;  // [panels][2 tiles of columns][steps] tiles, right operands
  AlignedVector<float> sums;         // [panels][width / 16][2] tiles: O^T
  AlignedVector<std::byte> keys;     // [kBlocksAtOnce][kKvBlock, width] BF16, where pages are not of BF16
  AlignedVector<std::byte> rows;     // [kKvBlock, width] BF16 of V
  AlignedVector<std::byte> values;   // [kBlocksAtOnce][kKvBlock * width] BF16: V^T
  AlignedVector<Panel> panels;
  AlignedVector<float> columns;                            // [kPanel, width]
  AlignedVector<float> rotated;                            // [width]
  alignas(64) std::array<float, 2 * kScoreFloats> scores;  // of the unit at hand and of the next one
  alignas(64) std::array<std::byte, kNumeratorBytes> numerators;
};

// One KV head and the queries [first, first + count) of the heads that share it: column c is query first + c
// % count of head c / count of the group.
template <class Tiles>
class Task {
 public:
  Task(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head, std::int64_t first,
       std::int64_t count, Scratch& scratch)
      : shape_(shape),
        s_(s),
        kv_head_(kv_head),
        first_(first),
        count_(count),
        width_(RoundUp(shape.head_dim, kStep)),
        columns_(shape.group() * count),
        panels_((columns_ + kPanel - 1) / kPanel),
        chosen_(panels_),
        scratch_(scratch) {
    const auto panels = static_cast<std::size_t>(panels_), width = static_cast<std::size_t>(width_);
    scratch.queries.resize(panels * kPanel * width * 2);
    scratch.sums.assign(panels * kPanel * width, 0.0f);
    scratch.keys.resize(kBlocksAtOnce * kKvBlock * width * 2);
    scratch.rows.resize(kKvBlock * width * 2);
    scratch.values.resize(kBlocksAtOnce * kKvBlock * width * 2);
    scratch.panels.resize(panels);
    scratch.columns.resize(kPanel * width);
    scratch.rotated.resize(width);
  }

  void Run() {
    const FlushSubnormals flush;
    for (std::int64_t p = 0; p < panels_; ++p) LoadPanel(p);
    const auto first_seen = std::ranges::min(scratch_.panels, {}, &Panel::first_seen).first_seen;
    const auto last_seen = std::ranges::max(scratch_.panels, {}, &Panel::last_seen).last_seen;
    std::vector<std::int64_t> blocks;  // that some panel looks at
    for (std::int64_t b = first_seen / kKvBlock; b <= last_seen / kKvBlock; ++b) {
      for (std::int64_t p = 0; p < panels_; ++p) {
        if (Columns(p, b) == 0) continue;
        blocks.push_back(b);
        break;
      }
    }
    {
      Tiles tiles;
      for (std::span<const std::int64_t> rest = blocks; !rest.empty();) {
        const auto now = rest.first(std::min(kBlocksAtOnce, std::ssize(rest)));
        rest = rest.subspan(now.size());
        Blocks(tiles, now, rest.first(std::min(kBlocksAtOnce, std::ssize(rest))));
      }
    }
    for (std::int64_t p = 0; p < panels_; ++p) StorePanel(p);
  }

 private:
  struct Unit {  // one panel and one block: index into those taken at once
    std::int64_t panel, block;
    std::uint32_t columns;  // of the panel that look at the block
  };

  std::int64_t query(std::int64_t c) const { return first_ + c % count_; }
  std::int64_t head(std::int64_t c) const { return kv_head_ * shape_.group() + c / count_; }
  std::int64_t steps() const { return width_ / kStep; }
  Panel& panel(std::int64_t p) { return scratch_.panels[p]; }
  float* sums(std::int64_t p) { return scratch_.sums.data() + p * kPanel * width_; }
  // The columns of a panel that look at KV block b.
  std::uint32_t Columns(std::int64_t p, std::int64_t b) {
    return panel(p).SeesSome(b * kKvBlock) ? static_cast<std::uint32_t>(chosen_[p].Columns(b)) : 0;
  }
  std::byte* queries(std::int64_t p) { return scratch_.queries.data() + p * kPanel * width_ * 2; }

  // Columns past the last repeat its order and have zeros for a query.
  void LoadPanel(std::int64_t p) {
    const float scale = shape_.scale * std::numbers::log2e_v<float>;
    const std::int64_t used = std::min(kPanel, columns_ - p * kPanel);
    std::ranges::fill(scratch_.columns, 0.0f);
    for (std::int64_t t = 0; t < kPanel; ++t) {
      const std::int64_t c = p * kPanel + std::min(t, used - 1), order = s_.first_order + query(c);
      panel(p).order[t] = static_cast<std::int32_t>(order);
      panel(p).start[t] = static_cast<std::int32_t>(FirstSeen(shape_, s_, order));
      chosen_[p].Add(s_.blocks, head(c), query(c));
      if (t >= used) continue;
      const float* from = &s_.q.at(query(c), head(c) * shape_.head_dim);
      float* to = scratch_.columns.data() + t * width_;
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) to[d] = scale * from[d];
      if (s_.kv.rotated()) Hadamard(shape_.head_dim, to, scratch_.rotated.data());
    }
    panel(p).Begin();
    const ConstRows columns(scratch_.columns.data(), kPanel, width_);
    for (std::int64_t tile = 0; tile < 2; ++tile) {
      for (std::int64_t k = 0; k < steps(); ++k) {
        PackTile(columns, tile * kTileRows, k * kStep, queries(p) + (tile * steps() + k) * kTileBytes);
      }
    }
  }

  void StorePanel(std::int64_t p) {
    for (std::int64_t tile = 0; tile < width_ / kTileRows * 2; ++tile) {
      __m512i v[kTileRows];
      for (int i = 0; i < kTileRows; ++i)
        v[i] = _mm512_load_si512(sums(p) + tile * kTileFloats + i * kTileRows);
      Transpose16(v);
      float* to = scratch_.columns.data() + tile % 2 * kTileRows * width_ + tile / 2 * kTileRows;
      for (int i = 0; i < kTileRows; ++i) _mm512_store_si512(to + i * width_, v[i]);
    }
    for (std::int64_t t = 0; t < kPanel && p * kPanel + t < columns_; ++t) {
      const std::int64_t c = p * kPanel + t;
      const float maximum = panel(p).maximum[t];
      const float total = panel(p).total[t], inverse = 1.0f / total;
      float* from = scratch_.columns.data() + t * width_;
      if (s_.kv.rotated()) Hadamard(shape_.head_dim, from, scratch_.rotated.data());
      float* to = &s_.out.at(query(c), head(c) * shape_.head_dim);
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) to[d] = from[d] * inverse;
      if (s_.log_sum_exp.data != nullptr) {
        s_.log_sum_exp.at(head(c), query(c)) = (maximum + std::log2(total)) * std::numbers::ln2_v<float>;
      }
    }
  }

  // Rows of K or V, read in place if they are BF16, otherwise unpacked to `to`.
  Bf16Rows AsBf16(const KvBlock& block, const KvBlock::RowsOfType& rows, std::byte* to) const {
    if (block.type == Type::kBF16 && width_ == shape_.head_dim) return {rows.data, rows.row_bytes};
    for (std::int64_t i = 0; i < block.count; ++i) {
      UnpackRow(block.type, rows.row(i), shape_.head_dim,
                reinterpret_cast<std::uint16_t*>(to + i * width_ * 2), kChunk);
    }
    return {to, width_ * 2};
  }

  // Prefetches the keys and values of the tokens [first, end) of KV blocks, counted from the first of them
  // on.
  void Fetch(std::span<const std::int64_t> blocks, std::int64_t first, std::int64_t end) const {
    const std::int64_t bytes = RowBytes(s_.kv.type(), shape_.head_dim);
    for (; first < end; ++first) {
      const KvBlock block = s_.kv.Block(kv_head_, blocks[first / kKvBlock]);
      const std::int64_t row = first % kKvBlock;
      if (row >= block.count) continue;
      for (std::int64_t at = 0; at < bytes; at += 64) {
        _mm_prefetch(block.k.row(row) + at, _MM_HINT_T1);
        _mm_prefetch(block.v.row(row) + at, _MM_HINT_T1);
      }
    }
  }

  // Takes all panels over KV blocks, at most kBlocksAtOnce of them. Those of `next` come next.
  void Blocks(Tiles& tiles, std::span<const std::int64_t> blocks, std::span<const std::int64_t> next) {
    const std::int64_t count = std::ssize(blocks);
    const std::int64_t block_bytes = kKvBlock * width_ * 2;
    std::array<Bf16Rows, kBlocksAtOnce> keys;
    for (std::int64_t b = 0; b < count; ++b) {
      const KvBlock block = s_.kv.Block(kv_head_, blocks[b]);
      keys[b] = AsBf16(block, block.k, scratch_.keys.data() + b * block_bytes);
      TransposeRows(AsBf16(block, block.v, scratch_.rows.data()), block.count, width_,
                    scratch_.values.data() + b * block_bytes);
    }
    std::vector<Unit> units;
    for (std::int64_t p = 0; p < panels_; ++p) {
      for (std::int64_t b = 0; b < count; ++b) {
        const std::uint32_t columns = Columns(p, blocks[b]);
        if (columns != 0) units.push_back({p, b, columns});
      }
    }
    const auto scores = [&](std::size_t unit) { return scratch_.scores.data() + unit % 2 * kScoreFloats; };
    const auto score = [&](std::size_t unit, auto&& between) {
      const auto& [p, b, columns] = units[unit];
      KeysTimesPanel(tiles, steps(), keys[b], queries(p), scores(unit), between);
    };
    const std::int64_t keys_to_fetch = std::ssize(next) * kKvBlock;
    const auto fetched = [&](std::size_t unit) {  // before unit
      return keys_to_fetch * static_cast<std::int64_t>(unit) / std::ssize(units);
    };
    score(0, [] {});
    for (std::size_t unit = 0; unit < units.size(); ++unit) {
      const auto& [p, b, columns] = units[unit];
      Fetch(next, fetched(unit), fetched(unit + 1));
      const std::int64_t first_key = blocks[b] * kKvBlock;
      if (columns != chosen_[p].all() || !panel(p).SeesAll(first_key))
        MaskScores(panel(p), first_key, columns, scores(unit));
      RaiseMaximum(panel(p), scores(unit), width_ / kTileRows, sums(p));
      // While the vector units make this unit's numerators, the tile unit makes the next one's scores.
      Numerators numerators(panel(p), scores(unit), scratch_.numerators.data());
      if (unit + 1 < units.size()) {
        const std::int64_t all_steps = kKvBlock / kPanel * steps(),
                           share = (Numerators::kSteps + all_steps - 1) / all_steps;
        score(unit + 1, [&] { numerators.Advance(share); });
      }
      numerators.Advance(Numerators::kSteps);
      AddOverKeys(tiles, width_ / kTileRows, scratch_.values.data() + b * block_bytes,
                  scratch_.numerators.data(), sums(p));
    }
  }

  const AttentionShape& shape_;
  const AttentionSequence& s_;
  const std::int64_t kv_head_, first_, count_, width_, columns_, panels_;
  std::vector<PanelBlocks> chosen_;
  Scratch& scratch_;
};

}  // namespace

template <class Tiles>
void Attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  struct Work {
    const AttentionSequence* sequence;
    std::int64_t kv_head, first;
  };
  std::vector<Work> work;
  const std::int64_t queries = QueriesPerTask(shape);
  for (const AttentionSequence& s : sequences) {
    // Later queries see more keys: they go first, so that the last tasks to finish are short.
    for (std::int64_t first = (s.q.rows - 1) / queries * queries; s.q.rows > 0 && first >= 0;
         first -= queries) {
      for (std::int64_t h = 0; h < shape.kv_heads; ++h) work.push_back({&s, h, first});
    }
  }
  ParallelFor(static_cast<std::int64_t>(work.size()), [&](std::int64_t i) {
    static thread_local Scratch scratch;
    const auto& [s, kv_head, first] = work[i];
    Task<Tiles>(shape, *s, kv_head, first, std::min(queries, s->q.rows - first), scratch).Run();
  });
}

template void Attention<HardwareTiles>(const AttentionShape&, std::span<const AttentionSequence>);
template void Attention<PlainTiles>(const AttentionShape&, std::span<const AttentionSequence>);
template void Attention<VectorTiles>(const AttentionShape&, std::span<const AttentionSequence>);

}  // namespace longspan::bf16
#pragma GCC pop_options
