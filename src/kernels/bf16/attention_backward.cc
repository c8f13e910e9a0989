#include "kernels/bf16/attention_backward.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numbers>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/bf16/unpack.h"
#include "tensor/rows.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")
#include "kernels/bf16/key_products.h"
#include "kernels/bf16/softmax_backward.h"
#include "kernels/bf16/vectors.h"

namespace longspan::bf16 {
namespace {

// A sequence is cut into pieces: enough of them to keep threads busy, and small enough that the queries of
// one head of a piece, and the keys of another, stay in the second-level cache with their gradients.
inline constexpr std::int64_t kPieces = 8, kFewestTokens = 2 * kKvBlock, kMostTokens = 8 * kKvBlock;

std::int64_t PieceTokens(std::int64_t tokens) {
  return std::clamp(RoundUp((tokens + kPieces - 1) / kPieces, kKvBlock), kFewestTokens, kMostTokens);
}

struct Piece {  // of consecutive tokens
  std::int64_t first, count;
  std::int64_t end() const { return first + count; }
};

// Panels whose P and dS are kept, so that they are the steps of one product.
inline constexpr std::int64_t kRun = 4;

// The working memory of a thread, kept from task to task. Operands are of BF16.
struct Scratch {
  // Of the piece of keys, KV block by KV block.
  AlignedVector<std::byte> keys, values;    // [kKvBlock, width]: left operands K and V
  AlignedVector<std::byte> keys_over_keys;  // K^T as TransposeRows makes it
  AlignedVector<float> dk, dv;              // [4][width / 16] tiles
  // Of the piece of queries and one head.
  AlignedVector<std::byte> q_columns, dout_columns;  // [panels][2 tiles of columns][steps] tiles: Q^T, dO^T
  AlignedVector<std::byte> q_rows, dout_rows;        // [width / 16][panels] tiles: right operands Q and dO
  AlignedVector<float> dq;                           // [panels][width / 16][2] tiles: dQ^T
  AlignedVector<GradientPanel> panels;
  // Of the panel at hand and of the next one.
  alignas(64) std::array<float, 2 * kScoreFloats> scores, dp;
  // Of the run at hand: [4][kRun] tiles.
  alignas(64) std::array<std::byte, kRun * kNumeratorBytes> p, ds;
  // Of the panel at hand.
  alignas(64) std::array<std::byte, kNumeratorBytes> ds_right;
};

// The queries of one piece and the keys of another: what they give to the gradients of each other, for one KV
// head and the heads that share it.
template <class Tiles>
class Square {
 public:
  Square(const AttentionShape& shape, const AttentionBackwardSequence& s, std::int64_t kv_head,
         const Piece& queries, const Piece& keys, Scratch& scratch)
      : shape_(shape),
        s_(s),
        kv_head_(kv_head),
        queries_(queries),
        keys_(keys),
        width_(RoundUp(shape.head_dim, kStep)),
        panels_((queries.count + kPanel - 1) / kPanel),
        blocks_((keys.count + kKvBlock - 1) / kKvBlock),
        block_size_(kKvBlock * width_),
        scratch_(scratch) {
    const std::int64_t columns = panels_ * kPanel * width_ * 2, rows = blocks_ * block_size_ * 2;
    for (auto* of_keys : {&scratch.keys, &scratch.values, &scratch.keys_over_keys}) of_keys->resize(rows);
    for (auto* of_queries : {&scratch.q_columns, &scratch.dout_columns, &scratch.q_rows, &scratch.dout_rows})
      of_queries->resize(columns);
    scratch.panels.resize(panels_);
  }

  // Adds to the gradients, or, with `first`, sets them.
  void Run(bool first) {
    const FlushSubnormals flush;
    Tiles tiles;
    LoadKeys();
    for (std::int64_t h = 0; h < shape_.group(); ++h) {
      const std::int64_t head = kv_head_ * shape_.group() + h;
      LoadQueries(head);
      for (std::int64_t b = 0; b < blocks_; ++b) TakeBlock(tiles, b);
      StoreQueryGradient(head, !first);
    }
    StoreKeyGradients(!first);
  }

 private:
  std::int64_t steps() const { return width_ / kStep; }
  std::int64_t sum_tiles() const { return width_ / kTileRows; }
  std::int64_t first_key(std::int64_t b) const { return keys_.first + b * kKvBlock; }
  GradientPanel& panel(std::int64_t p) { return scratch_.panels[p]; }
  float* dq(std::int64_t p) { return scratch_.dq.data() + p * kPanel * width_; }
  // The piece of queries, one head.
  template <class RowsOrConst>
  RowsOrConst OfHead(const RowsOrConst& rows, std::int64_t head) const {
    return rows.Columns(head * shape_.head_dim, shape_.head_dim).Slice(queries_.first, queries_.count);
  }

  void LoadKeys() {
    scratch_.dk.assign(blocks_ * block_size_, 0.0f);
    scratch_.dv.assign(blocks_ * block_size_, 0.0f);
    for (std::int64_t b = 0; b < blocks_; ++b) {
      const KvBlock block = s_.kv.Block(kv_head_, first_key(b) / kKvBlock);
      std::byte* const keys = scratch_.keys.data() + b * block_size_ * 2;
      LoadRows(block, block.k, keys);
      LoadRows(block, block.v, scratch_.values.data() + b * block_size_ * 2);
      TransposeRows({keys, width_ * 2}, block.count, width_,
                    scratch_.keys_over_keys.data() + b * block_size_ * 2);
    }
  }
  // Rows past the last token are zero, because they meet probabilities of zero.
  void LoadRows(const KvBlock& block, const KvBlock::RowsOfType& rows, std::byte* to) const {
    for (std::int64_t i = 0; i < block.count; ++i) {
      UnpackRow(block.type, rows.row(i), shape_.head_dim,
                reinterpret_cast<std::uint16_t*>(to + i * width_ * 2), kChunk);
    }
    std::fill(to + block.count * width_ * 2, to + block_size_ * 2, std::byte{0});
  }

  // Queries past the last are zero, see what the last one sees, and change nothing. The gradient of the
  // outputs takes part in dP and D times the scale, so that dS comes out times it.
  void LoadQueries(std::int64_t head) {
    const ConstRows q = OfHead(s_.q, head), dout = OfHead(s_.dout, head), out = OfHead(s_.out, head);
    const float scale = shape_.scale * std::numbers::log2e_v<float>;
    scratch_.dq.assign(panels_ * kPanel * width_, 0.0f);
    for (std::int64_t p = 0; p < panels_; ++p) {
      GradientPanel& to = panel(p);
      const std::int64_t first = p * kPanel, used = std::min(kPanel, queries_.count - first);
      to.log_sum_exp.fill(0);
      to.dot.fill(0);
      for (std::int64_t t = 0; t < kPanel; ++t) {
        const std::int64_t i = first + std::min(t, used - 1), order = queries_.first + i;
        to.order[t] = static_cast<std::int32_t>(order);
        to.start[t] = static_cast<std::int32_t>(FirstSeen(shape_, s_, order));
        if (t >= used) continue;
        to.log_sum_exp[t] = s_.log_sum_exp.at(head, order) * std::numbers::log2e_v<float>;
        to.dot[t] = DotRounded(&out.at(i, 0), &dout.at(i, 0));
      }
      to.Begin();
      for (std::int64_t tile = 0; tile < 2; ++tile) {
        for (std::int64_t k = 0; k < steps(); ++k) {
          const std::int64_t row = first + tile * kTileRows, at = ((p * 2 + tile) * steps() + k) * kTileBytes;
          PackTile(q, row, k * kStep, scratch_.q_columns.data() + at, scale);
          PackTile(dout, row, k * kStep, scratch_.dout_columns.data() + at, shape_.scale);
        }
      }
      for (std::int64_t tile = 0; tile < sum_tiles(); ++tile) {
        const std::int64_t at = (tile * panels_ + p) * kTileBytes;
        PackColumnsTile(q, first, tile * kTileRows, scratch_.q_rows.data() + at);
        PackColumnsTile(dout, first, tile * kTileRows, scratch_.dout_rows.data() + at);
      }
    }
  }
  // D of one query and head: the output times its gradient as dP has it, scaled and rounded. The errors that
  // all of its dP share then cancel out.
  float DotRounded(const float* out, const float* dout) const {
    const __m512 scale = _mm512_set1_ps(shape_.scale);
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t d = 0; d < shape_.head_dim; d += kTileRows) {
      const __mmask16 mask = First16(shape_.head_dim - d);
      const __m512 scaled = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(mask, dout + d));
      const __m512i rounded = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(scaled)));
      sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(rounded, 16)),
                            _mm512_maskz_loadu_ps(mask, out + d), sum);
    }
    return _mm512_reduce_add_ps(sum);
  }

  void TakeBlock(Tiles& tiles, std::int64_t b) {
    const auto sees = [&](std::int64_t p) { return p < panels_ && panel(p).SeesSome(first_key(b)); };
    for (std::int64_t p = 0; p < panels_;) {
      std::int64_t count = 0;
      while (count < kRun && sees(p + count)) ++count;
      if (count > 0) TakeRun(tiles, b, p, count);
      p += std::max<std::int64_t>(count, 1);
    }
  }

  // One KV block and the panels [first, first + count), at most kRun of them.
  void TakeRun(Tiles& tiles, std::int64_t b, std::int64_t first, std::int64_t count) {
    Scores(tiles, b, first, [] {});
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t p = first + i;
      if (!panel(p).SeesAll(first_key(b))) MaskScores(panel(p), first_key(b), kAllColumns, scores(p));
      SoftmaxBackward softmax(panel(p), scores(p), dp(p),
                              {scratch_.p.data() + i * kTileBytes, scratch_.ds.data() + i * kTileBytes,
                               kRun * kTileBytes, scratch_.ds_right.data()});
      // While the vector units make this panel's dS, the tile unit makes the next one's scores.
      if (i + 1 < count) {
        const std::int64_t all_steps = 2 * (kKeyTiles / 2) * steps(),
                           share = (SoftmaxBackward::kSteps + all_steps - 1) / all_steps;
        Scores(tiles, b, p + 1, [&] { softmax.Advance(share); });
      }
      softmax.Advance(SoftmaxBackward::kSteps);
      AddOverKeys(tiles, sum_tiles(), scratch_.keys_over_keys.data() + b * block_size_ * 2,
                  scratch_.ds_right.data(), dq(p));
    }
    AddOverQueries(tiles, first, count, scratch_.p.data(), scratch_.dout_rows.data(),
                   scratch_.dv.data() + b * block_size_);
    AddOverQueries(tiles, first, count, scratch_.ds.data(), scratch_.q_rows.data(),
                   scratch_.dk.data() + b * block_size_);
  }

  float* scores(std::int64_t p) { return scratch_.scores.data() + p % 2 * kScoreFloats; }
  float* dp(std::int64_t p) { return scratch_.dp.data() + p % 2 * kScoreFloats; }

  // S^T and dP^T of one KV block and one panel.
  template <class Between>
  [[gnu::always_inline]] void Scores(Tiles& tiles, std::int64_t b, std::int64_t p, Between&& between) {
    const std::int64_t keys = b * block_size_ * 2, columns = p * kPanel * width_ * 2;
    KeysTimesPanel(tiles, steps(), {scratch_.keys.data() + keys, width_ * 2},
                   scratch_.q_columns.data() + columns, scores(p), between);
    KeysTimesPanel(tiles, steps(), {scratch_.values.data() + keys, width_ * 2},
                   scratch_.dout_columns.data() + columns, dp(p), between);
  }

  // sums [64 keys, width] += left [64 keys, panels of a run] times those panels' rows.
  void AddOverQueries(Tiles& tiles, std::int64_t first, std::int64_t count, const std::byte* left,
                      const std::byte* rows, float* sums) {
    for (std::int64_t tile = 0; tile < kKeyTiles; tile += 2) {
      for (std::int64_t column = 0; column < sum_tiles(); column += 2) {
        Block<2, 2, Keep::kLeft>(
            tiles, count, {left + tile * kRun * kTileBytes, kTileRowBytes, kTileBytes, kRun * kTileBytes},
            {rows + (column * panels_ + first) * kTileBytes, panels_ * kTileBytes},
            {sums + (tile * sum_tiles() + column) * kTileFloats, sum_tiles() * kTileFloats}, true, [] {});
      }
    }
  }

  void StoreQueryGradient(std::int64_t head, bool add) {
    const Rows to = OfHead(s_.dq, head);
    for (std::int64_t p = 0; p < panels_; ++p) {
      for (std::int64_t tile = 0; tile < 2 * sum_tiles(); ++tile) {
        WriteTransposed(dq(p) + tile * kTileFloats, to, p * kPanel + tile % 2 * kTileRows,
                        tile / 2 * kTileRows, add);
      }
    }
  }

  void StoreKeyGradients(bool add) {
    const auto store = [&](const AlignedVector<float>& sums, const Rows& rows) {
      const Rows to =
          rows.Columns(kv_head_ * shape_.head_dim, shape_.head_dim).Slice(keys_.first, keys_.count);
      for (std::int64_t tile = 0; tile < blocks_ * kKeyTiles * sum_tiles(); ++tile) {
        WriteTile(sums.data() + tile * kTileFloats, to, tile / sum_tiles() * kTileRows,
                  tile % sum_tiles() * kTileRows, add);
      }
    };
    store(scratch_.dk, s_.dk);
    store(scratch_.dv, s_.dv);
  }

  const AttentionShape& shape_;
  const AttentionBackwardSequence& s_;
  const std::int64_t kv_head_;
  const Piece queries_, keys_;
  const std::int64_t width_, panels_, blocks_;
  const std::int64_t block_size_;  // elements of K, or V, of a KV block
  Scratch& scratch_;
};

}  // namespace

template <class Tiles>
void AttentionBackward(const AttentionShape& shape, std::span<const AttentionBackwardSequence> sequences) {
  struct Work {
    const AttentionBackwardSequence* sequence;
    std::int64_t kv_head;
    Piece queries, keys;
  };
  // Rounds: in round r, the queries of piece i meet the keys of piece i ^ r. No two squares of a round share
  // queries or keys, so they run at once. Every gradient is summed in the order of the rounds, and set in
  // round 0, where pieces meet themselves.
  std::vector<Work> work;
  for (std::int64_t round = 0, rounds = 1; round < rounds; ++round) {
    work.clear();
    for (const AttentionBackwardSequence& s : sequences) {
      const std::int64_t tokens = PieceTokens(s.q.rows), pieces = (s.q.rows + tokens - 1) / tokens;
      rounds = std::max(rounds, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(pieces))));
      const auto piece = [&](std::int64_t i) {
        return Piece{i * tokens, std::min(tokens, s.q.rows - i * tokens)};
      };
      for (std::int64_t i = 0; i < pieces; ++i) {
        const std::int64_t j = i ^ round;
        if (j > i || FirstSeen(shape, s, piece(i).first) >= piece(j).end()) continue;
        for (std::int64_t h = 0; h < shape.kv_heads; ++h) work.push_back({&s, h, piece(i), piece(j)});
      }
    }
    ParallelFor(static_cast<std::int64_t>(work.size()), [&](std::int64_t i) {
      static thread_local Scratch scratch;
      const auto& [s, kv_head, queries, keys] = work[i];
      Square<Tiles>(shape, *s, kv_head, queries, keys, scratch).Run(round == 0);
    });
  }
}

template void AttentionBackward<HardwareTiles>(const AttentionShape&,
                                               std::span<const AttentionBackwardSequence>);
template void AttentionBackward<PlainTiles>(const AttentionShape&,
                                            std::span<const AttentionBackwardSequence>);
template void AttentionBackward<VectorTiles>(const AttentionShape&,
                                             std::span<const AttentionBackwardSequence>);

}  // namespace longspan::bf16
#pragma GCC pop_options
