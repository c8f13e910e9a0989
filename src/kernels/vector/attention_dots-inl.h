// The arithmetic of attention of few queries (attention_decode-inl.h), on pages as floats: rows of K are
// dotted with the queries of all heads that share them, and kLanes dot products are summed across lanes at
// once. Rows of V are added up in registers, each loaded once for all queries. Types are widened on the way.
//
// A class of such arithmetic has
//
//   kQueries                            that are dotted together
//   Dots(queries, groups, head_dim)     queries [groups * kQueries, head_dim], scaled, and rotated as keys
//   are Scores(block, stream, scores)       scores [groups * kQueries, kKvBlock] of the block's keys. What is
//   written
//                                       past the last of them means nothing.
//   AddValues(block, stream, p, sums)   sums [groups * kQueries, head_dim] += p V, p [groups * kQueries,
//   kKvBlock],
//                                       zero past the last
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_DOTS_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_DOTS_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_DOTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline constexpr std::int64_t kAhead = 16384;
// Rows of V that are added up for some columns before the next columns. Few, so that memory is read in order.
inline constexpr std::int64_t kValueRows = 16;
// Vectors that stay in registers while rows of V go by: half of the registers that there are.
inline constexpr int kAccumulators = HWY_TARGET <= HWY_AVX3 ? 16 : 8;

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

// What a task reads, one byte after another, up to `end`, and then from `next` on. The processor predicts
// neither the jump nor what lies past a page of memory. So this prefetches what is kAhead bytes further on
// into the second-level cache.
struct RowStream {
  const std::byte* end;
  const std::byte* next;
  HWY_INLINE void Prefetch(const std::byte* at, std::int64_t bytes) const {
    at += kAhead;
    if (at >= end) at = next + (at - end);
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
  }
};

// scores [kQueries, kKvBlock], kLanes / kQueries of each row: of as many rows of K, the first at `token`.
// Rows past the block's last repeat it.
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
            FloatVec& sum = sums[c * kTokens + t];
            sum = hn::MulAdd(x[i], hn::LoadU(d, q + c * head_dim + i * kLanes), sum);
          }
        }
      }
    }
  }
  SumLanes<kLanes>(sums);
  HWY_ALIGN float by_query[kLanes];
  hn::StoreU(sums[0], d, by_query);
#pragma GCC unroll 4
  for (int c = 0; c < kQueries; ++c)
    std::copy_n(by_query + c * kTokens, kTokens, scores + c * kKvBlock + token);
}

// sums [kQueries, head_dim] += p^T V of a block, for kHalves half blocks of columns from half block `first`
// on; p [kQueries, kKvBlock]. Prefetches from `stream`, if it is given.
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
  for (std::int64_t t = 0; t < block.count; ++t, row += block.v.row_bytes, ++p) {
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
      const FloatVec weight = hn::Set(d, p[c * kKvBlock]);
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
HWY_INLINE void AddValueRows(const KvBlock& block, std::int64_t first, std::int64_t head_dim, const float* p,
                             const RowStream* stream, float* sums) {
  const std::int64_t halves = head_dim / kHalfBlock;
  for (; first + kHalves <= halves; first += kHalves) {
    AddValueColumns<kType, kQueries, kHalves>(block, first, head_dim, p, first == 0 ? stream : nullptr, sums);
  }
  if constexpr (kHalves > 1)
    AddValueRows<kType, kQueries, kHalves / 2>(block, first, head_dim, p, first == 0 ? stream : nullptr,
                                               sums);
}

template <Type kType, int kQueriesAtOnce>
class FloatDots {
 public:
  static constexpr int kQueries = kQueriesAtOnce;

  FloatDots(AlignedVector<float> queries, std::int64_t groups, std::int64_t head_dim)
      : queries_(std::move(queries)), groups_(groups), head_dim_(head_dim) {}

  void Scores(const KvBlock& block, const RowStream& stream, float* scores) const {
    constexpr std::int64_t kTokens = kLanes / kQueries;
    for (std::int64_t t = 0; t < block.count; t += kTokens) {
      stream.Prefetch(block.k.row(t), kTokens * block.k.row_bytes);
      for (std::int64_t g = 0; g < groups_; ++g) {
        ScoreTile<kType, kQueries>(block, t, head_dim_, queries_.data() + g * kQueries * head_dim_,
                                   scores + g * kQueries * kKvBlock);
      }
    }
  }

  void AddValues(const KvBlock& block, const RowStream& stream, const float* p, float* sums) const {
    constexpr int kHalves = std::min(kAccumulators / kQueries, 8) / kHalfVectors;
    for (std::int64_t t = 0; t < block.count; t += kValueRows) {
      KvBlock part = block;
      part.v.data = block.v.row(t);
      part.count = std::min(kValueRows, block.count - t);
      for (std::int64_t g = 0; g < groups_; ++g) {
        AddValueRows<kType, kQueries, kHalves>(part, 0, head_dim_, p + g * kQueries * kKvBlock + t,
                                               g == 0 ? &stream : nullptr, sums + g * kQueries * head_dim_);
      }
    }
  }

 private:
  const AlignedVector<float> queries_;
  const std::int64_t groups_, head_dim_;
};

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
