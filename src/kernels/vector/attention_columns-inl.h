// The queries of one task of attention as columns. Everything is transposed: S^T = K Q^T, softmax down the
// columns, O^T = V^T P^T. The softmax then needs no reduction across a vector, a panel of probabilities is
// already the right operand of the second product, and the query heads that share a KV head are columns of
// one task and share its loads.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_COLUMNS_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_COLUMNS_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_COLUMNS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/vector/kv-inl.h"
#include "kernels/vector/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

// A score that the mask hides, and the running maximum before any score: both finite, and the first so far
// below the second that its exponential is zero.
inline constexpr float kMasked = -1e38f;
inline constexpr float kNoMaximum = -1e30f;

// A block of keys and values as floats: rows [count, head_dim], token by token.
struct FloatBlock {
  struct Elements {
    const float* data;
    std::int64_t stride;  // from one token to the next
    Strided ByTokens() const { return {data, stride, 1}; }
    Strided ByDims() const { return {data, 1, stride}; }
  };
  Elements k, v;
  std::int64_t first, count;
};

// F32 is read in place; other types are widened to scratch [2, kKvBlock, head_dim].
inline FloatBlock AsFloats(const KvBlock& block, std::int64_t head_dim, float* scratch) {
  if (block.type == Type::kF32) {
    const auto in_place = [](const KvBlock::RowsOfType& rows) -> FloatBlock::Elements {
      const auto stride = rows.row_bytes / static_cast<std::int64_t>(sizeof(float));
      return {reinterpret_cast<const float*>(rows.data), stride};
    };
    return {in_place(block.k), in_place(block.v), block.first, block.count};
  }
  float *k = scratch, *v = scratch + kKvBlock * head_dim;
  WithKvType(block.type, [&](auto type) {
    for (std::int64_t i = 0; i < block.count; ++i) {
      WidenRow<decltype(type)::value>(block.k.row(i), head_dim, k + i * head_dim);
      WidenRow<decltype(type)::value>(block.v.row(i), head_dim, v + i * head_dim);
    }
  });
  return {{k, head_dim}, {v, head_dim}, block.first, block.count};
}

// The queries [first, first + count) of the heads [head, head + group) of one sequence, as columns of panels:
// column c is query first + c % count of head head + c / count. Columns past the end repeat the last, with
// zeros for data.
class QueryColumns {
 public:
  QueryColumns(const AttentionShape& shape, const AttentionInput& s, std::int64_t head, std::int64_t first,
               std::int64_t count)
      : shape_(shape),
        s_(s),
        head_(head),
        first_(first),
        count_(count),
        columns_(shape.group() * count),
        row_(static_cast<std::size_t>(shape.head_dim)),
        scratch_(row_.size()) {
    orders_.resize(panels() * kPanel);
    starts_.resize(orders_.size());
    for (std::int64_t c = 0; c < panels() * kPanel; ++c) {
      const std::int64_t order = s.first_order + query(std::min(c, columns_ - 1));
      orders_[c] = static_cast<std::int32_t>(order);
      starts_[c] = static_cast<std::int32_t>(FirstSeen(shape, s, order));
    }
  }

  std::int64_t columns() const { return columns_; }
  std::int64_t panels() const { return (columns_ + kPanel - 1) / kPanel; }
  std::int64_t query(std::int64_t c) const { return first_ + c % count_; }
  std::int64_t head(std::int64_t c) const { return head_ + c / count_; }

  // A column sees the keys from its start to its own order.
  std::int32_t start(std::int64_t c) const { return starts_[c]; }
  std::int32_t order(std::int64_t c) const { return orders_[c]; }

  // Column c's share of `rows` [n, heads * head_dim] times `factor`, rotated where the keys are: out
  // [head_dim].
  void LoadColumn(ConstRows rows, std::int64_t c, float factor, float* out) const {
    const float* from = &rows.at(query(c), head(c) * shape_.head_dim);
    for (std::int64_t d = 0; d < shape_.head_dim; ++d) out[d] = factor * from[d];
    Rotate(out);
  }

  // A panel of such columns as out [head_dim, kPanel].
  void LoadTransposed(ConstRows rows, std::int64_t panel, float factor, float* out) const {
    for (std::int64_t t = 0; t < kPanel; ++t) {
      const std::int64_t c = panel * kPanel + t;
      if (c < columns_)
        LoadColumn(rows, c, factor, row_.data());
      else
        std::fill(row_.begin(), row_.end(), 0.0f);
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) out[d * kPanel + t] = row_[d];
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

  // Which keys a panel's columns see.
  struct Span {
    std::int32_t first_seen, last_seen;      // by any column
    std::int32_t first_common, last_common;  // by every column, if first_common <= last_common
    // Whether some column, or every column, sees some, or all, of `count` keys from `first` on.
    bool Some(std::int64_t first, std::int64_t count) const {
      return first <= last_seen && first + count > first_seen;
    }
    bool All(std::int64_t first, std::int64_t count) const {
      return first >= first_common && first + count - 1 <= last_common;
    }
  };
  Span Seen(std::int64_t panel) const {
    const auto begin = static_cast<std::ptrdiff_t>(panel * kPanel), end = begin + kPanel;
    const auto [low_start, high_start] = std::minmax_element(starts_.begin() + begin, starts_.begin() + end);
    const auto [low_order, high_order] = std::minmax_element(orders_.begin() + begin, orders_.begin() + end);
    return {*low_start, *high_order, *high_start, *low_order};
  }

  // Hides from each column of scores [count, kPanel], of the keys from `first` on, those it does not see.
  void Mask(std::int64_t panel, std::int64_t first, std::int64_t count, float* scores) const {
    const FloatTag d;
    const IntTag di;
    const auto masked = hn::Set(d, kMasked);
    for (std::int64_t half = 0; half < kPanel; half += kLanes) {
      const auto order = hn::LoadU(di, &orders_[panel * kPanel + half]);
      const auto start = hn::LoadU(di, &starts_[panel * kPanel + half]);
      for (std::int64_t j = 0; j < count; ++j) {
        const auto key = hn::Set(di, static_cast<std::int32_t>(first + j));
        const auto hidden = hn::Or(hn::Gt(key, order), hn::Lt(key, start));
        float* at = scores + j * kPanel + half;
        hn::StoreU(hn::IfThenElse(hn::RebindMask(d, hidden), masked, hn::LoadU(d, at)), d, at);
      }
    }
  }

  // Computes the scores of a block for a panel, masked, into scores [block.count, kPanel].
  void Scores(std::int64_t panel, const Span& seen, const FloatBlock& block, const float* queries,
              float* scores) const {
    PanelProduct(block.count, shape_.head_dim, block.k.ByTokens(), queries, kPanel, scores, kPanel, false);
    if (!seen.All(block.first, block.count)) Mask(panel, block.first, block.count, scores);
  }

  // Writes column c's output, whose numerators are sums [head_dim] (overwritten), and its log-sum-exp.
  void Finish(std::int64_t c, float maximum, float total, float* sums, const AttentionSequence& s) const {
    Rotate(sums);
    const float inverse = 1.0f / total;
    float* to = &s.out.at(query(c), head(c) * shape_.head_dim);
    for (std::int64_t d = 0; d < shape_.head_dim; ++d) to[d] = sums[d] * inverse;
    if (s.log_sum_exp.data != nullptr) s.log_sum_exp.at(head(c), query(c)) = maximum + std::log(total);
  }

 private:
  void Rotate(float* x) const {
    if (s_.kv.rotated()) Hadamard(shape_.head_dim, x, scratch_.data());
  }

  const AttentionShape& shape_;
  const AttentionInput& s_;
  std::int64_t head_, first_, count_, columns_;
  std::vector<std::int32_t> orders_, starts_;
  mutable AlignedVector<float> row_, scratch_;  // [head_dim]
};

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
