// Attention of few queries over a long cache. It is as fast as the cache can be read once from memory. A
// sequence is cut into pieces of kPiece tokens, each with an online softmax of its own (Milakov & Gimelshein
// 2018, algorithm 3), and the pieces' sums are joined in their order. Pieces depend on the length alone, so
// results do not depend on the number of threads.
//
// A task takes some neighbouring heads over the pages of a piece, page by page: the keys and values that it
// reads one after another lie so in memory too. The arithmetic is a parameter: FloatDots
// (attention_dots-inl.h), or CodeDots on the codes of quantised pages (int8/code_dots-inl.h).
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
#include <cstdint>
#include <memory>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_dots-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline constexpr std::int64_t kPiece = 512;
inline constexpr std::int64_t kPieceBlocks = kPiece / kKvBlock;

// Whether a sequence's queries are few enough. Then this path costs less than a panel, which always costs as
// much as a full one.
inline bool IsDecode(const AttentionShape& shape, const AttentionSequence& s) {
  return s.kv.paged() && shape.head_dim % kBlock == 0 && shape.group() * s.q.rows <= kLanes;
}

// Queries that are dotted together. With more columns, this many are taken at a time, over rows that are in
// cache by then.
inline int QueriesAtOnce(std::int64_t columns) { return columns == 1 ? 1 : columns == 2 ? 2 : 4; }

// The result of a piece, for columns padded to a multiple of QueriesAtOnce.
struct PieceSums {
  float* sums;     // [columns, head_dim] numerators
  float* maximum;  // [columns] of the scores
  float* total;    // [columns] denominators
};

// One step of the online softmax of one query: scores [kKvBlock] become probabilities' numerators. sums
// [head_dim], maximum and total are those of the keys before.
HWY_INLINE void SoftmaxOfBlock(std::int64_t head_dim, float* scores, float& maximum, float& total,
                               float* sums) {
  const FloatTag d;
  FloatVec largest = hn::Set(d, maximum);
  // In this order of operands what is no number is passed over (see SoftmaxStep).
  for (std::int64_t t = 0; t < kKvBlock; t += kLanes) largest = hn::Max(hn::LoadU(d, scores + t), largest);
  largest = hn::MaxOfLanes(d, largest);
  const float now = hn::GetLane(largest);
  if (now != maximum) {
    const float shrink = std::exp(maximum - now);
    maximum = now;
    total *= shrink;
    for (std::int64_t i = 0; i < head_dim; i += kLanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, sums + i), hn::Set(d, shrink)), d, sums + i);
  }
  FloatVec sum = hn::Zero(d);
  for (std::int64_t t = 0; t < kKvBlock; t += kLanes) {
    const FloatVec p = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + t), largest));
    hn::StoreU(p, d, scores + t);
    sum = hn::Add(sum, p);
  }
  total += hn::GetLane(hn::SumOfLanes(d, sum));
}

// One sequence and KV head: the queries that share the head, and the sums of its pieces in `scratch`.
class DecodeHead {
 public:
  DecodeHead(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head, int at_once)
      : shape_(shape),
        s_(s),
        kv_head_(kv_head),
        columns_(shape, s, kv_head * shape.group(), 0, s.q.rows),
        first_seen_(FirstSeen(shape, s, s.first_order)),
        groups_((columns_.columns() + at_once - 1) / at_once),
        padded_columns_(groups_ * at_once) {}
  virtual ~DecodeHead() = default;

  // The number of pieces that some query sees, the first block of one, and the end of its blocks.
  std::int64_t pieces() const { return (tokens() + kPiece - 1) / kPiece - first_piece(); }
  std::int64_t FirstBlock(std::int64_t piece) const {
    return std::max((first_piece() + piece) * kPieceBlocks, first_seen_ / kKvBlock);
  }
  std::int64_t EndBlock(std::int64_t piece) const {
    return std::min((first_piece() + piece + 1) * kPieceBlocks, (tokens() + kKvBlock - 1) / kKvBlock);
  }
  // The keys and values of a block, as many as there are queries for.
  KvBlock Block(std::int64_t b) const {
    KvBlock block = s_.kv.Block(kv_head_, b);
    block.count = std::min(block.count, tokens() - block.first);
    return block;
  }
  std::int64_t scratch_floats() const { return pieces() * piece_floats(); }

  void Begin(std::int64_t piece, float* scratch) const {
    const PieceSums sums = Sums(piece, scratch);
    std::fill_n(sums.sums, padded_columns_ * shape_.head_dim, 0.0f);
    std::fill_n(sums.maximum, padded_columns_, kNoMaximum);
    std::fill_n(sums.total, padded_columns_, 0.0f);
  }

  // Adds a block, which is read as part of `stream`, to the sums of a piece.
  virtual void Add(std::int64_t piece, const KvBlock& block, const RowStream& stream,
                   float* scratch) const = 0;

  // Joins the pieces, in their order.
  void Merge(float* scratch) const {
    const FloatTag d;
    for (std::int64_t c = 0; c < columns_.columns(); ++c) {
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
      columns_.Finish(c, maximum, total, to, s_);
    }
  }

 protected:
  PieceSums Sums(std::int64_t piece, float* scratch) const {
    float* sums = scratch + piece * piece_floats();
    float* maximum = sums + padded_columns_ * shape_.head_dim;
    return {sums, maximum, maximum + padded_columns_};
  }

  // The columns [padded_columns, head_dim], with zeros past the last.
  AlignedVector<float> Queries() const {
    AlignedVector<float> queries(static_cast<std::size_t>(padded_columns_ * shape_.head_dim), 0.0f);
    for (std::int64_t c = 0; c < columns_.columns(); ++c)
      columns_.LoadColumn(s_.q, c, shape_.scale, queries.data() + c * shape_.head_dim);
    return queries;
  }

  const AttentionShape& shape_;
  const AttentionSequence& s_;
  const std::int64_t kv_head_;
  const QueryColumns columns_;
  const std::int64_t first_seen_, groups_, padded_columns_;

 private:
  std::int64_t tokens() const { return s_.first_order + s_.q.rows; }
  std::int64_t first_piece() const { return first_seen_ / kPiece; }
  std::int64_t piece_floats() const { return padded_columns_ * (shape_.head_dim + 2); }
};

template <class Dots>
class DecodeHeadOf final : public DecodeHead {
 public:
  DecodeHeadOf(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head)
      : DecodeHead(shape, s, kv_head, Dots::kQueries), dots_(Queries(), groups_, shape.head_dim) {}

  void Add(std::int64_t piece, const KvBlock& block, const RowStream& stream, float* scratch) const override {
    static thread_local AlignedVector<float> scores;  // [padded_columns, kKvBlock]
    scores.resize(padded_columns_ * kKvBlock);
    const PieceSums to = Sums(piece, scratch);
    dots_.Scores(block, stream, scores.data());
    for (std::int64_t c = 0; c < padded_columns_; ++c) {
      float* row = scores.data() + c * kKvBlock;
      Mask(block, c, row);
      SoftmaxOfBlock(shape_.head_dim, row, to.maximum[c], to.total[c], to.sums + c * shape_.head_dim);
    }
    dots_.AddValues(block, stream, scores.data(), to.sums);
  }

 private:
  // Hides from a column the keys that it does not see, and those past the last.
  void Mask(const KvBlock& block, std::int64_t column, float* scores) const {
    const std::int64_t c = std::min(column, columns_.columns() - 1);
    const auto key = [&](std::int64_t order) {
      return std::clamp<std::int64_t>(order - block.first, 0, block.count);
    };
    std::fill(scores, scores + key(columns_.start(c)), kMasked);
    std::fill(scores + key(columns_.order(c) + 1), scores + kKvBlock, kMasked);
  }

  const Dots dots_;
};

// Arithmetic::WithDots(type, queries, f) calls f(std::type_identity<Dots>()) for the Dots of a cache's type
// and of so many queries at once.
template <class Arithmetic>
std::unique_ptr<DecodeHead> MakeDecodeHead(const AttentionShape& shape, const AttentionSequence& s,
                                           std::int64_t kv_head) {
  std::unique_ptr<DecodeHead> head;
  Arithmetic::WithDots(s.kv.type(), QueriesAtOnce(shape.group() * s.q.rows),
                       [&]<class Dots>(std::type_identity<Dots>) {
                         head = std::make_unique<DecodeHeadOf<Dots>>(shape, s, kv_head);
                       });
  return head;
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
