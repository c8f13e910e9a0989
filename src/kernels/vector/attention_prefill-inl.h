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
    for (std::int64_t j = 0; j < keys; ++j)
      largest = hn::Max(largest, hn::LoadU(d, scores + j * kPanel + half));
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

// One task: one KV head, queries [first, first + count).
inline void PrefillTask(const AttentionShape& shape, const AttentionSequence& s, std::int64_t kv_head,
                        std::int64_t first, std::int64_t count) {
  const std::int64_t hd = shape.head_dim;
  const QueryColumns columns(shape, s, kv_head * shape.group(), first, count);
  const std::int64_t panels = columns.panels();
  AlignedVector<float> queries(static_cast<std::size_t>(panels * hd * kPanel)), out(queries.size());
  AlignedVector<float> maximum(static_cast<std::size_t>(panels * kPanel), kNoMaximum), total(maximum.size());
  AlignedVector<float> widened(s.kv.type() == Type::kF32 ? 0 : static_cast<std::size_t>(2 * kKvBlock * hd));
  HWY_ALIGN float scores[kKvBlock * kPanel];
  std::vector<QueryColumns::Span> seen;
  for (std::int64_t p = 0; p < panels; ++p) {
    columns.LoadTransposed(s.q, p, shape.scale, &queries[p * hd * kPanel]);
    seen.push_back(columns.Seen(p));
  }
  const ChosenBlocks chosen(columns, s.blocks);

  const std::int64_t first_block = FirstSeen(shape, s, s.first_order + first) / kKvBlock;
  const std::int64_t last_block = (s.first_order + first + count - 1) / kKvBlock;
  for (std::int64_t b = first_block; b <= last_block; ++b) {
    if (!chosen.Any(b)) continue;
    const FloatBlock block = AsFloats(s.kv.Block(kv_head, b), hd, widened.data());
    for (std::int64_t p = 0; p < panels; ++p) {
      const auto at = static_cast<std::size_t>(p * hd * kPanel), row = static_cast<std::size_t>(p * kPanel);
      const QueryColumns::Span& span = seen[p];
      if (block.first > span.last_seen || block.first + block.count <= span.first_seen) continue;
      if (!chosen.Any(p, b)) continue;
      columns.Scores(p, span, block, &queries[at], scores);
      chosen.Mask(p, b, block.count, scores);
      SoftmaxStep(block.count, hd, scores, &maximum[row], &total[row], &out[at]);
      PanelProduct(hd, block.count, block.v.ByDims(), scores, kPanel, &out[at], kPanel, true);
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
