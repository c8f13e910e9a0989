// Attention of many queries: two products around an online softmax, a block of keys and a panel of queries at
// a time.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_PREFILL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_PREFILL_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_PREFILL_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_PREFILL_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_chosen-inl.h"
#include "kernels/vector/attention_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

inline constexpr std::int64_t kQueryBlock = 64;

// One panel's running softmax (Milakov & Gimelshein 2018, algorithm 3): `maximum` and `total` [kPanel], and
// out [head_dim, kPanel] not yet divided by the total. scores [keys, kPanel] become probabilities'
// numerators.
HWY_INLINE void SoftmaxStep(std::int64_t keys, std::int64_t head_dim, float* scores, float* maximum,
                            float* total, float* out) {
  const FloatTag d;
  for (std::int64_t half = 0; half < kPanel; half += kLanes) {
    const FloatVec before = hn::LoadU(d, maximum + half);
    FloatVec largest = before;
    // The order of operands passes over what is no number. A column of nothing else then has a total of zero,
    // and its result is no number either.
    for (std::int64_t j = 0; j < keys; ++j)
      largest = hn::Max(hn::LoadU(d, scores + j * kPanel + half), largest);
    FloatVec sum = hn::LoadU(d, total + half);
    // Past the first blocks a new maximum is rare.
    if (!hn::AllTrue(d, hn::Eq(before, largest))) {
      const FloatVec shrink = hn::Exp(d, hn::Sub(before, largest));
      sum = hn::Mul(sum, shrink);
      for (std::int64_t i = 0; i < head_dim; ++i) {
        float* at = out + i * kPanel + half;
        hn::StoreU(hn::Mul(hn::LoadU(d, at), shrink), d, at);
      }
      hn::StoreU(largest, d, maximum + half);
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      float* at = scores + j * kPanel + half;
      const FloatVec p = hn::Exp(d, hn::Sub(hn::LoadU(d, at), largest));
      hn::StoreU(p, d, at);
      sum = hn::Add(sum, p);
    }
    hn::StoreU(sum, d, total + half);
  }
}

// Panels of queries and a block of pages, all as floats.
class FloatPanels {
 public:
  FloatPanels(std::int64_t head_dim, std::int64_t panels)
      : head_dim_(head_dim), queries_(static_cast<std::size_t>(panels * head_dim * kPanel)) {}

  // queries [head_dim, kPanel]
  void SetQueries(std::int64_t panel, const float* queries) {
    std::copy_n(queries, head_dim_ * kPanel, &queries_[panel * head_dim_ * kPanel]);
  }
  void SetBlock(const KvBlock& block) {
    if (block.type != Type::kF32) widened_.resize(2 * kKvBlock * head_dim_);
    block_ = AsFloats(block, head_dim_, widened_.data());
  }
  // scores [keys, kPanel]
  void Scores(std::int64_t panel, float* scores) const {
    PanelProduct(block_.count, head_dim_, block_.k.ByTokens(), &queries_[panel * head_dim_ * kPanel], kPanel,
                 scores, kPanel, false);
  }
  // out [head_dim, kPanel] += V^T p, p [keys, kPanel]
  void AddValues(const float* p, float* out) const {
    PanelProduct(head_dim_, block_.count, block_.v.ByDims(), p, kPanel, out, kPanel, true);
  }

 private:
  const std::int64_t head_dim_;
  AlignedVector<float> queries_, widened_;
  FloatBlock block_;
};

// One task: one KV head, queries [first, first + count). Panels is the arithmetic: FloatPanels or a class
// with the same members.
template <class Panels>
void PrefillTask(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head,
                 std::int64_t first, std::int64_t count) {
  const std::int64_t hd = shape.head_dim;
  const QueryColumns columns(shape, s, kv_head * shape.group(), first, count);
  const std::int64_t panels = columns.panels();
  Panels arithmetic(hd, panels);
  AlignedVector<float> queries(static_cast<std::size_t>(hd * kPanel)), out(panels * queries.size());
  AlignedVector<float> maximum(static_cast<std::size_t>(panels * kPanel), kNoMaximum), total(maximum.size());
  HWY_ALIGN float scores[kKvBlock * kPanel];
  std::vector<QueryColumns::Span> seen;
  for (std::int64_t p = 0; p < panels; ++p) {
    columns.LoadTransposed(s.q, p, shape.scale, queries.data());
    arithmetic.SetQueries(p, queries.data());
    seen.push_back(columns.Seen(p));
  }
  const ChosenBlocks chosen(columns, s.blocks);

  const std::int64_t first_block = FirstSeen(shape, s, s.first_order + first) / kKvBlock;
  const std::int64_t last_block = (s.first_order + first + count - 1) / kKvBlock;
  for (std::int64_t b = first_block; b <= last_block; ++b) {
    if (!chosen.Any(b)) continue;
    const KvBlock block = s.kv.Block(kv_head, b);
    arithmetic.SetBlock(block);
    for (std::int64_t p = 0; p < panels; ++p) {
      const auto at = static_cast<std::size_t>(p * hd * kPanel), row = static_cast<std::size_t>(p * kPanel);
      if (!seen[p].Some(block.first, block.count) || !chosen.Any(p, b)) continue;
      arithmetic.Scores(p, scores);
      if (!seen[p].All(block.first, block.count)) columns.Mask(p, block.first, block.count, scores);
      chosen.Mask(p, b, block.count, scores);
      SoftmaxStep(block.count, hd, scores, &maximum[row], &total[row], &out[at]);
      arithmetic.AddValues(scores, &out[at]);
    }
  }
  AlignedVector<float> sums(static_cast<std::size_t>(hd));
  for (std::int64_t c = 0; c < columns.columns(); ++c) {
    const float* from = &out[c / kPanel * hd * kPanel + c % kPanel];
    for (std::int64_t d = 0; d < hd; ++d) sums[d] = from[d * kPanel];
    const auto column = static_cast<std::size_t>(c);
    columns.Finish(c, maximum[column], total[column], sums.data(), s);
  }
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
