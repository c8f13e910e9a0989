// Attention with everything transposed: S^T = K Q^T, softmax down the columns, O^T = V^T P^T. Queries are columns, so
// the softmax needs no horizontal reduction, a panel of probabilities is at once the right operand of the second
// product, and keys and values are read where they lie. The query heads that share a KV head are columns of one
// task and share its loads.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

using IntTag = hn::RebindToSigned<FloatTag>;

inline constexpr std::int64_t kQueryBlock = 64;
// A score that the mask hides, and the running maximum before any score: both finite, and the first so far below
// the second that its exponential is zero.
inline constexpr float kMasked = -1e38f;
inline constexpr float kNoMaximum = -1e30f;

inline Strided ByTokens(const KvBlock::Elements& e) { return {e.data, e.token_stride, e.dim_stride}; }
inline Strided ByDims(const KvBlock::Elements& e) { return {e.data, e.dim_stride, e.token_stride}; }

// The queries [first, first + count) of the heads [head, head + group) of one sequence, as columns of panels:
// column c is query first + c % count of head head + c / count. Columns past the end repeat the last, with zeros for
// data.
class QueryColumns {
 public:
  QueryColumns(const AttentionShape& shape, const AttentionSequence& s, std::int64_t head, std::int64_t first,
               std::int64_t count)
      : shape_(shape), s_(s), head_(head), first_(first), count_(count), columns_(shape.group() * count) {
    orders_.resize(static_cast<std::size_t>(panels() * kPanel));
    starts_.resize(orders_.size());
    for (std::int64_t c = 0; c < panels() * kPanel; ++c) {
      const std::int64_t order = s.first_order + query(std::min(c, columns_ - 1));
      orders_[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(order);
      starts_[static_cast<std::size_t>(c)] = DocumentStart(order);
    }
  }

  std::int64_t columns() const { return columns_; }
  std::int64_t panels() const { return (columns_ + kPanel - 1) / kPanel; }
  std::int64_t query(std::int64_t c) const { return first_ + c % count_; }
  std::int64_t head(std::int64_t c) const { return head_ + c / count_; }

  // Loads one panel of `rows` [n, heads * head_dim], times `factor`, as out [head_dim, kPanel].
  void LoadTransposed(ConstRows rows, std::int64_t panel, float factor, float* out) const {
    for (std::int64_t t = 0; t < kPanel; ++t) {
      const std::int64_t c = panel * kPanel + t;
      const float* from = c < columns_ ? &rows.at(query(c), head(c) * shape_.head_dim) : nullptr;
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) out[d * kPanel + t] = from ? factor * from[d] : 0.0f;
    }
  }

  // The same panel untransposed: out [kPanel, width], zero past head_dim.
  void Load(ConstRows rows, std::int64_t panel, float factor, std::int64_t width, float* out) const {
    std::fill_n(out, kPanel * width, 0.0f);
    for (std::int64_t t = 0; t < kPanel && panel * kPanel + t < columns_; ++t) {
      const std::int64_t c = panel * kPanel + t;
      const float* from = &rows.at(query(c), head(c) * shape_.head_dim);
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) out[t * width + d] = factor * from[d];
    }
  }

  // Which keys a panel's columns see: [start of the column's document, its order].
  struct Span {
    std::int32_t first_seen, last_seen;      // by any column
    std::int32_t first_common, last_common;  // by every column, if first_common <= last_common
  };
  Span Seen(std::int64_t panel) const {
    const auto begin = static_cast<std::ptrdiff_t>(panel * kPanel), end = begin + kPanel;
    const auto [low_start, high_start] = std::minmax_element(starts_.begin() + begin, starts_.begin() + end);
    const auto [low_order, high_order] = std::minmax_element(orders_.begin() + begin, orders_.begin() + end);
    return {*low_start, *high_order, *high_start, *low_order};
  }

  // Hides from each column of scores [keys, kPanel] the keys it does not see.
  void Mask(std::int64_t panel, const KvBlock& block, float* scores) const {
    const FloatTag d;
    const IntTag di;
    const auto masked = hn::Set(d, kMasked);
    for (std::int64_t half = 0; half < kPanel; half += kLanes) {
      const auto order = hn::LoadU(di, &orders_[static_cast<std::size_t>(panel * kPanel + half)]);
      const auto start = hn::LoadU(di, &starts_[static_cast<std::size_t>(panel * kPanel + half)]);
      for (std::int64_t j = 0; j < block.count; ++j) {
        const auto key = hn::Set(di, static_cast<std::int32_t>(block.first + j));
        const auto hidden = hn::Or(hn::Gt(key, order), hn::Lt(key, start));
        float* at = scores + j * kPanel + half;
        hn::StoreU(hn::IfThenElse(hn::RebindMask(d, hidden), masked, hn::LoadU(d, at)), d, at);
      }
    }
  }

  // Computes the scores of a block for a panel, masked, into scores [block.count, kPanel].
  void Scores(std::int64_t panel, const Span& seen, const KvBlock& block, const float* queries, float* scores) const {
    PanelProduct(block.count, shape_.head_dim, ByTokens(block.k), queries, kPanel, scores, kPanel, false);
    if (block.first < seen.first_common || block.first + block.count - 1 > seen.last_common) Mask(panel, block, scores);
  }

 private:
  // Order of the first token of the document that `order` is in; documents do not decrease.
  std::int32_t DocumentStart(std::int64_t order) const {
    if (s_.documents.empty()) return 0;
    const auto at = s_.documents.begin() + order;
    return static_cast<std::int32_t>(std::lower_bound(s_.documents.begin(), at, *at) - s_.documents.begin());
  }

  const AttentionShape& shape_;
  const AttentionSequence& s_;
  std::int64_t head_, first_, count_, columns_;
  std::vector<std::int32_t> orders_, starts_;
};

// One panel's running softmax (Milakov & Gimelshein 2018, algorithm 3): `maximum` and `total` [kPanel], and
// out [head_dim, kPanel] not yet divided by the total. scores [keys, kPanel] become probabilities' numerators.
HWY_INLINE void SoftmaxStep(std::int64_t keys, std::int64_t head_dim, float* scores, float* maximum, float* total,
                            float* out) {
  const FloatTag d;
  for (std::int64_t half = 0; half < kPanel; half += kLanes) {
    const FloatVec before = hn::LoadU(d, maximum + half);
    FloatVec largest = before;
    for (std::int64_t j = 0; j < keys; ++j) largest = hn::Max(largest, hn::LoadU(d, scores + j * kPanel + half));
    const FloatVec shrink = hn::Exp(d, hn::Sub(before, largest));
    FloatVec sum = hn::Mul(hn::LoadU(d, total + half), shrink);
    for (std::int64_t j = 0; j < keys; ++j) {
      float* at = scores + j * kPanel + half;
      const FloatVec p = hn::Exp(d, hn::Sub(hn::LoadU(d, at), largest));
      hn::StoreU(p, d, at);
      sum = hn::Add(sum, p);
    }
    hn::StoreU(largest, d, maximum + half);
    hn::StoreU(sum, d, total + half);
    for (std::int64_t i = 0; i < head_dim; ++i) {
      float* at = out + i * kPanel + half;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), shrink), d, at);
    }
  }
}

// One task: one KV head, one block of queries.
inline void AttentionTask(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head,
                          std::int64_t first, std::int64_t count) {
  const std::int64_t hd = shape.head_dim;
  const QueryColumns columns(shape, s, kv_head * shape.group(), first, count);
  const std::int64_t panels = columns.panels();
  AlignedVector<float> queries(static_cast<std::size_t>(panels * hd * kPanel)), out(queries.size());
  AlignedVector<float> maximum(static_cast<std::size_t>(panels * kPanel), kNoMaximum), total(maximum.size());
  HWY_ALIGN float scores[kKvBlock * kPanel];
  for (std::int64_t p = 0; p < panels; ++p) columns.LoadTransposed(s.q, p, shape.scale, &queries[static_cast<std::size_t>(p * hd * kPanel)]);

  const std::int64_t last_block = (s.first_order + first + count - 1) / kKvBlock;
  for (std::int64_t b = 0; b <= last_block; ++b) {
    const KvBlock block = s.kv.Block(kv_head, b);
    for (std::int64_t p = 0; p < panels; ++p) {
      const QueryColumns::Span seen = columns.Seen(p);
      if (block.first > seen.last_seen || block.first + block.count <= seen.first_seen) continue;
      const auto at = static_cast<std::size_t>(p * hd * kPanel), row = static_cast<std::size_t>(p * kPanel);
      columns.Scores(p, seen, block, &queries[at], scores);
      SoftmaxStep(block.count, hd, scores, &maximum[row], &total[row], &out[at]);
      PanelProduct(hd, block.count, ByDims(block.v), scores, kPanel, &out[at], kPanel, true);
    }
  }
  for (std::int64_t c = 0; c < columns.columns(); ++c) {
    const auto column = static_cast<std::size_t>(c);
    const float inverse = 1.0f / total[column];
    const float* from = &out[static_cast<std::size_t>(c / kPanel * hd * kPanel + c % kPanel)];
    float* to = &s.out.at(columns.query(c), columns.head(c) * hd);
    for (std::int64_t d = 0; d < hd; ++d) to[d] = from[d * kPanel] * inverse;
    if (s.log_sum_exp.data != nullptr) {
      s.log_sum_exp.at(columns.head(c), columns.query(c)) = maximum[column] + std::log(total[column]);
    }
  }
}

inline void AttentionForward(const AttentionShape& shape, std::span<const AttentionSequence> sequences) {
  struct Task {
    std::size_t sequence;
    std::int64_t kv_head, first;
  };
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    // Later queries see more keys: they go first, so that the last tasks to finish are short.
    const std::int64_t blocks = (sequences[i].q.rows + kQueryBlock - 1) / kQueryBlock;
    for (std::int64_t b = blocks - 1; b >= 0; --b) {
      for (std::int64_t h = 0; h < shape.kv_heads; ++h) tasks.push_back({i, h, b * kQueryBlock});
    }
  }
  ParallelFor(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t) {
    const Task& task = tasks[static_cast<std::size_t>(t)];
    const AttentionSequence& s = sequences[task.sequence];
    AttentionTask(shape, s, task.kv_head, task.first, std::min(kQueryBlock, s.q.rows - task.first));
  });
}

// Scores and the gradient of the probabilities become probabilities P and the gradient of the scores,
// P (dP - D), with D the sum of P dP (Dao et al. 2022, appendix B.2).
HWY_INLINE void SoftmaxBackward(std::int64_t keys, const float* log_sum_exp, const float* dot, float* scores, float* dp) {
  const FloatTag d;
  for (std::int64_t half = 0; half < kPanel; half += kLanes) {
    const FloatVec lse = hn::LoadU(d, log_sum_exp + half), mean = hn::LoadU(d, dot + half);
    for (std::int64_t j = 0; j < keys; ++j) {
      const std::int64_t at = j * kPanel + half;
      const FloatVec p = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + at), lse));
      hn::StoreU(p, d, scores + at);
      hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(d, dp + at), mean)), d, dp + at);
    }
  }
}

// One task: one KV head of one sequence, all queries.
inline void AttentionBackwardTask(const AttentionShape& shape, const AttentionBackwardSequence& b, std::int64_t kv_head) {
  const AttentionSequence& s = b.forward;
  const std::int64_t n = s.q.rows, hd = shape.head_dim, width = (hd + kPanel - 1) / kPanel * kPanel;
  const QueryColumns columns(shape, s, kv_head * shape.group(), 0, n);
  const auto panel_floats = static_cast<std::size_t>(hd * kPanel), row_floats = static_cast<std::size_t>(width * kPanel);
  AlignedVector<float> q_t(panel_floats), dout_t(panel_floats), dq_t(panel_floats), q(row_floats), dout(row_floats);
  AlignedVector<float> dk(static_cast<std::size_t>(n * width)), dv(dk.size());
  HWY_ALIGN float p[kKvBlock * kPanel], ds[kKvBlock * kPanel], lse[kPanel], dot[kPanel];

  for (std::int64_t panel = 0; panel < columns.panels(); ++panel) {
    columns.LoadTransposed(s.q, panel, shape.scale, q_t.data());
    columns.LoadTransposed(b.dout, panel, 1.0f, dout_t.data());
    columns.Load(s.q, panel, shape.scale, width, q.data());
    columns.Load(b.dout, panel, 1.0f, width, dout.data());
    std::fill(dq_t.begin(), dq_t.end(), 0.0f);
    const std::int64_t first = panel * kPanel, used = std::min(kPanel, columns.columns() - first);
    for (std::int64_t t = 0; t < kPanel; ++t) {
      lse[t] = dot[t] = 0;
      if (t >= used) continue;
      const std::int64_t query = columns.query(first + t), head = columns.head(first + t);
      lse[t] = s.log_sum_exp.at(head, query);
      for (std::int64_t d = 0; d < hd; ++d) dot[t] += s.out.at(query, head * hd + d) * dout[static_cast<std::size_t>(t * width + d)];
    }
    const QueryColumns::Span seen = columns.Seen(panel);
    for (std::int64_t k = seen.first_seen / kKvBlock; k <= seen.last_seen / kKvBlock; ++k) {
      const KvBlock block = s.kv.Block(kv_head, k);
      columns.Scores(panel, seen, block, q_t.data(), p);
      PanelProduct(block.count, hd, ByTokens(block.v), dout_t.data(), kPanel, ds, kPanel, false);
      SoftmaxBackward(block.count, lse, dot, p, ds);
      PanelProduct(hd, block.count, ByDims(block.k), ds, kPanel, dq_t.data(), kPanel, true);
      for (std::int64_t d = 0; d < width; d += kPanel) {
        const auto at = static_cast<std::size_t>(block.first * width + d), column = static_cast<std::size_t>(d);
        PanelProduct(block.count, used, {ds, kPanel, 1}, &q[column], width, &dk[at], width, true);
        PanelProduct(block.count, used, {p, kPanel, 1}, &dout[column], width, &dv[at], width, true);
      }
    }
    for (std::int64_t t = 0; t < used; ++t) {
      float* to = &b.dq.at(columns.query(first + t), columns.head(first + t) * hd);
      for (std::int64_t d = 0; d < hd; ++d) to[d] = shape.scale * dq_t[static_cast<std::size_t>(d * kPanel + t)];
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    std::copy_n(&dk[static_cast<std::size_t>(i * width)], hd, &b.dk.at(i, kv_head * hd));
    std::copy_n(&dv[static_cast<std::size_t>(i * width)], hd, &b.dv.at(i, kv_head * hd));
  }
}

inline void AttentionBackward(const AttentionShape& shape, std::span<const AttentionBackwardSequence> sequences) {
  const std::int64_t heads = shape.kv_heads;
  ParallelFor(static_cast<std::int64_t>(sequences.size()) * heads, [&](std::int64_t task) {
    AttentionBackwardTask(shape, sequences[static_cast<std::size_t>(task / heads)], task % heads);
  });
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
