// Attention of few queries over a long cache. It is as fast as the cache can be read once from memory. A
// sequence is cut into pieces of kPiece tokens; each is a task of its own with a softmax of its own, and the
// pieces' sums are joined in their order. Pieces depend on the length alone, so results do not depend on the
// number of threads.
//
// Rows of K are dotted with the queries of all heads that share them; kLanes dot products are summed across
// lanes at once. Rows of V are added up in registers, each loaded once for all queries. Types are widened on
// the way.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_DECODE_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_DECODE_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_DECODE_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline constexpr std::int64_t kPiece = 512;
inline constexpr std::int64_t kAhead = 4096;
// Rows of V that are added up for some columns before the next columns. Few, so that memory is read in order.
inline constexpr std::int64_t kValueRows = 16;
// Vectors that stay in registers while rows of V go by: half of the registers that there are.
inline constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 16 : 8;

// Whether a sequence's queries are few enough. Then this path costs less than a panel, which always costs as
// much as a full one.
inline bool IsDecode(const AttentionShape& shape, const AttentionSequence& s) {
  return s.kv.paged() && shape.head_dim % kBlock == 0 && shape.group() * s.q.rows <= kLanes;
}

// Queries that are dotted together. With more columns, this many are taken at a time, over rows that are in
// cache by then.
inline int QueriesAtOnce(std::int64_t columns) { return columns == 1 ? 1 : columns == 2 ? 2 : 4; }

// v [kCount] becomes one vector: with kCount = kLanes, lane i is the sum of the lanes of v[i]. Each step adds
// neighbouring lanes, so that two vectors make one.
template <int kCount>
HWY_INLINE void SumLanes(FloatVec* v) {
  if constexpr (kCount > 1) {
    const FloatTag d;
#pragma GCC unroll 8
    for (int i = 0; i < kCount / 2; ++i) {
      v[i] = hn::Add(hn::ConcatEven(d, v[2 * i + 1], v[2 * i]), hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]));
    }
    SumLanes<kCount / 2>(v);
  }
}

// Rows are read in a stream that continues at `next` where those of one block end. The processor predicts
// neither that nor what lies past a page of memory. So this prefetches what is kAhead bytes further on into
// the second-level cache.
struct RowStream {
  const std::byte* end;
  const std::byte* next;
  HWY_INLINE void Prefetch(const std::byte* at, std::int64_t bytes) const {
    at += kAhead;
    if (at >= end) at = next + (at - end);
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
  }
};

// scores [kLanes / kQueries, kQueries] of as many rows of K, the first at `token`. Rows past the block's last
// repeat it.
template <Type kType, int kQueries>
HWY_INLINE void ScoreTile(const KvBlock& block, std::int64_t token, std::int64_t head_dim,
                          const float* queries, float* scores) {
  constexpr int kTokens = kLanes / kQueries;
  const FloatTag d;
  const std::byte* rows[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) rows[t] = block.k.row(std::min(token + t, block.count - 1));
  FloatVec sums[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) sums[i] = hn::Zero(d);
  for (std::int64_t b = 0; b < head_dim / kBlock; ++b) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const float* q = queries + b * kBlock + half * kHalfBlock;
#pragma GCC unroll 16
      for (int t = 0; t < kTokens; ++t) {
        FloatVec x[kHalfVectors];
        LoadHalfBlock<kType>(rows[t], b, half, x);
#pragma GCC unroll 2
        for (int i = 0; i < kHalfVectors; ++i) {
#pragma GCC unroll 4
          for (int c = 0; c < kQueries; ++c) {
            FloatVec& sum = sums[t * kQueries + c];
            sum = hn::MulAdd(x[i], hn::LoadU(d, q + c * head_dim + i * kLanes), sum);
          }
        }
      }
    }
  }
  SumLanes<kLanes>(sums);
  hn::StoreU(sums[0], d, scores);
}

// sums [kQueries, head_dim] += p^T V of a block, for kHalves half blocks of columns from half block `first`
// on; p [count, kQueries]. Prefetches from `stream`, if it is given.
template <Type kType, int kQueries, int kHalves>
HWY_INLINE void AddValueColumns(const KvBlock& block, std::int64_t first, std::int64_t head_dim,
                                const float* p, const RowStream* stream, float* sums) {
  const FloatTag d;
  constexpr int kVectors = kHalves * kHalfVectors;
  sums += first * kHalfBlock;
  FloatVec sum[kQueries][kVectors];
#pragma GCC unroll 4
  for (int c = 0; c < kQueries; ++c) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) sum[c][i] = hn::LoadU(d, sums + c * head_dim + i * kLanes);
  }
  const std::byte* row = block.v.data;
  for (std::int64_t t = 0; t < block.count; ++t, row += block.v.row_bytes, p += kQueries) {
    if (stream != nullptr) stream->Prefetch(row, block.v.row_bytes);
    FloatVec x[kVectors];
#pragma GCC unroll 8
    for (int h = 0; h < kHalves; ++h) {
      // Several half blocks begin with a whole block.
      const int half = kHalves == 1 ? static_cast<int>(first % 2) : h % 2;
      LoadHalfBlock<kType>(row, first / 2 + h / 2, half, x + h * kHalfVectors);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kQueries; ++c) {
      const FloatVec weight = hn::Set(d, p[c]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) sum[c][i] = hn::MulAdd(weight, x[i], sum[c][i]);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < kQueries; ++c) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) hn::StoreU(sum[c][i], d, sums + c * head_dim + i * kLanes);
  }
}

// The same for all columns from half block `first` on: as many at a time as fit the registers, then fewer.
template <Type kType, int kQueries, int kHalves>
HWY_INLINE void AddValues(const KvBlock& block, std::int64_t first, std::int64_t head_dim, const float* p,
                          const RowStream* stream, float* sums) {
  const std::int64_t halves = head_dim / kHalfBlock;
  for (; first + kHalves <= halves; first += kHalves) {
    AddValueColumns<kType, kQueries, kHalves>(block, first, head_dim, p, first == 0 ? stream : nullptr, sums);
  }
  if constexpr (kHalves > 1)
    AddValues<kType, kQueries, kHalves / 2>(block, first, head_dim, p, first == 0 ? stream : nullptr, sums);
}

// The result of a piece, for columns padded to a multiple of QueriesAtOnce.
struct PieceSums {
  float* sums;     // [columns, head_dim] numerators
  float* maximum;  // [columns] of the scores
  float* total;    // [columns] denominators
};

// scores [tokens, kQueries] become probabilities' numerators; tokens * kQueries is a multiple of kLanes.
template <int kQueries>
HWY_INLINE void SoftmaxOfPiece(std::int64_t tokens, float* scores, float* maximum, float* total) {
  const FloatTag d;
  const std::int64_t n = tokens * kQueries;
  HWY_ALIGN float lanes[kLanes];  // lane i belongs to query i % kQueries
  FloatVec largest = hn::Set(d, kNoMaximum);
  for (std::int64_t i = 0; i < n; i += kLanes) largest = hn::Max(largest, hn::LoadU(d, scores + i));
  hn::StoreU(largest, d, lanes);
  for (int i = kQueries; i < kLanes; ++i) lanes[i % kQueries] = std::max(lanes[i % kQueries], lanes[i]);
  for (int i = 0; i < kLanes; ++i) lanes[i] = lanes[i % kQueries];
  std::copy_n(lanes, kQueries, maximum);
  largest = hn::LoadU(d, lanes);
  FloatVec sum = hn::Zero(d);
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const FloatVec p = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), largest));
    hn::StoreU(p, d, scores + i);
    sum = hn::Add(sum, p);
  }
  hn::StoreU(sum, d, lanes);
  for (int i = kQueries; i < kLanes; ++i) lanes[i % kQueries] += lanes[i];
  std::copy_n(lanes, kQueries, total);
}

// One task: one KV head, tokens [first, end) of a sequence, all of its queries, kQueries at a time.
template <Type kType, int kQueries>
class PieceTask {
 public:
  PieceTask(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head, std::int64_t first,
            std::int64_t end)
      : kv_(s.kv),
        kv_head_(kv_head),
        first_(first),
        end_(end),
        head_dim_(shape.head_dim),
        columns_(shape, s, kv_head * shape.group(), 0, s.q.rows),
        groups_((columns_.columns() + kQueries - 1) / kQueries) {
    static thread_local AlignedVector<float> queries, scores;
    queries.assign(static_cast<std::size_t>(groups_ * kQueries * head_dim_), 0.0f);
    scores.resize(groups_ * kQueries * kPiece);
    queries_ = queries.data();
    scores_ = scores.data();
    for (std::int64_t c = 0; c < columns_.columns(); ++c) {
      columns_.LoadColumn(s.q, c, shape.scale, queries_ + c * head_dim_);
    }
  }

  void Run(const PieceSums& out) const {
    ComputeScores();
    for (std::int64_t g = 0; g < groups_; ++g) {
      Mask(g);
      SoftmaxOfPiece<kQueries>(padded(), ScoresOf(g, 0), out.maximum + g * kQueries,
                               out.total + g * kQueries);
    }
    AddUpValues(out.sums);
  }

 private:
  static constexpr std::int64_t kTileTokens = kLanes / kQueries;
  static constexpr int kHalves = std::min(kAccumulators / kQueries, 8) / kHalfVectors;

  std::int64_t tokens() const { return end_ - first_; }
  std::int64_t padded() const { return (tokens() + kTileTokens - 1) / kTileTokens * kTileTokens; }
  std::int64_t blocks() const { return (tokens() + kKvBlock - 1) / kKvBlock; }
  KvBlock Block(std::int64_t b) const {
    KvBlock block = kv_.Block(kv_head_, first_ / kKvBlock + b);
    block.count = std::min(block.count, end_ - block.first);
    return block;
  }
  // A group's scores [padded, kQueries], from a token of the piece on.
  float* ScoresOf(std::int64_t group, std::int64_t token) const {
    return scores_ + (group * kPiece + token) * kQueries;
  }

  void ComputeScores() const {
    for (std::int64_t b = 0; b < blocks(); ++b) {
      const KvBlock block = Block(b);
      const RowStream stream{block.k.row(kKvBlock), b + 1 < blocks() ? Block(b + 1).k.data : Block(0).v.data};
      for (std::int64_t t = 0; t < block.count; t += kTileTokens) {
        stream.Prefetch(block.k.row(t), kTileTokens * block.k.row_bytes);
        for (std::int64_t g = 0; g < groups_; ++g) {
          ScoreTile<kType, kQueries>(block, t, head_dim_, queries_ + g * kQueries * head_dim_,
                                     ScoresOf(g, b * kKvBlock + t));
        }
      }
    }
  }

  // Hides the padding of the last tile, and from each column the keys that it does not see.
  void Mask(std::int64_t group) const {
    float* scores = ScoresOf(group, 0);
    std::fill(scores + tokens() * kQueries, scores + padded() * kQueries, kMasked);
    const std::int64_t first_column = group * kQueries;
    for (std::int64_t c = first_column; c < std::min(first_column + kQueries, columns_.columns()); ++c) {
      const auto hide = [&](std::int64_t from, std::int64_t until) {
        for (std::int64_t t = from; t < until; ++t)
          scores[(t - first_) * kQueries + c - first_column] = kMasked;
      };
      hide(first_, std::min<std::int64_t>(columns_.start(c), end_));
      hide(std::max<std::int64_t>(columns_.order(c) + 1, first_), end_);
    }
  }

  void AddUpValues(float* sums) const {
    std::fill_n(sums, groups_ * kQueries * head_dim_, 0.0f);
    for (std::int64_t b = 0; b < blocks(); ++b) {
      const KvBlock block = Block(b);
      const RowStream stream{block.v.row(kKvBlock), b + 1 < blocks() ? Block(b + 1).v.data : block.v.data};
      for (std::int64_t t = 0; t < block.count; t += kValueRows) {
        KvBlock part = block;
        part.v.data = block.v.row(t);
        part.count = std::min(kValueRows, block.count - t);
        for (std::int64_t g = 0; g < groups_; ++g) {
          AddValues<kType, kQueries, kHalves>(part, 0, head_dim_, ScoresOf(g, b * kKvBlock + t),
                                              g == 0 ? &stream : nullptr, sums + g * kQueries * head_dim_);
        }
      }
    }
  }

  const KvView& kv_;
  const std::int64_t kv_head_, first_, end_, head_dim_;
  const QueryColumns columns_;
  const std::int64_t groups_;
  float *queries_, *scores_;
};

// The pieces of one sequence and KV head, and where they leave their sums.
class DecodeHead {
 public:
  DecodeHead(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head)
      : shape_(shape),
        s_(s),
        kv_head_(kv_head),
        columns_(shape.group() * s.q.rows),
        first_seen_(FirstSeen(shape, s, s.first_order)),
        at_once_(QueriesAtOnce(columns_)) {}

  // The number of pieces that some query sees.
  std::int64_t pieces() const { return (tokens() + kPiece - 1) / kPiece - first_piece(); }
  std::int64_t scratch_floats() const { return pieces() * piece_floats(); }

  void Piece(std::int64_t piece, float* scratch) const {
    const std::int64_t begin = (first_piece() + piece) * kPiece, end = std::min(tokens(), begin + kPiece);
    const std::int64_t first = std::max(begin, first_seen_ / kKvBlock * kKvBlock);
    const PieceSums out = Sums(piece, scratch);
    WithKvType(s_.kv.type(), [&](auto type) {
      constexpr Type kType = decltype(type)::value;
      if (at_once_ == 1)
        PieceTask<kType, 1>(shape_, s_, kv_head_, first, end).Run(out);
      else if (at_once_ == 2)
        PieceTask<kType, 2>(shape_, s_, kv_head_, first, end).Run(out);
      else
        PieceTask<kType, 4>(shape_, s_, kv_head_, first, end).Run(out);
    });
  }

  // Joins the pieces, in their order.
  void Merge(float* scratch) const {
    const QueryColumns columns(shape_, s_, kv_head_ * shape_.group(), 0, s_.q.rows);
    const FloatTag d;
    for (std::int64_t c = 0; c < columns_; ++c) {
      float maximum = kNoMaximum, total = 0;
      for (std::int64_t i = 0; i < pieces(); ++i) maximum = std::max(maximum, Sums(i, scratch).maximum[c]);
      float* to = Sums(0, scratch).sums + c * shape_.head_dim;
      for (std::int64_t i = 0; i < pieces(); ++i) {
        const PieceSums piece = Sums(i, scratch);
        const float weight = std::exp(piece.maximum[c] - maximum);
        total += weight * piece.total[c];
        const float* from = piece.sums + c * shape_.head_dim;
        for (std::int64_t j = 0; j < shape_.head_dim; j += kLanes) {
          const FloatVec term = hn::Mul(hn::Set(d, weight), hn::LoadU(d, from + j));
          hn::StoreU(i == 0 ? term : hn::Add(hn::LoadU(d, to + j), term), d, to + j);
        }
      }
      columns.Finish(c, maximum, total, to, s_);
    }
  }

 private:
  std::int64_t tokens() const { return s_.first_order + s_.q.rows; }
  std::int64_t first_piece() const { return first_seen_ / kPiece; }
  std::int64_t padded_columns() const { return (columns_ + at_once_ - 1) / at_once_ * at_once_; }
  std::int64_t piece_floats() const { return padded_columns() * (shape_.head_dim + 2); }
  PieceSums Sums(std::int64_t piece, float* scratch) const {
    float* sums = scratch + piece * piece_floats();
    float* maximum = sums + padded_columns() * shape_.head_dim;
    return {sums, maximum, maximum + padded_columns()};
  }

  const AttentionShape& shape_;
  const AttentionSequence& s_;
  std::int64_t kv_head_, columns_, first_seen_;
  int at_once_;
};

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
