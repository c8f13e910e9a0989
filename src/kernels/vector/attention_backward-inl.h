// The backward pass of attention, over rows of float: probabilities are computed again from the log-sum-exp
// that the forward pass kept.
#if defined(LONGSPAN_KERNELS_VECTOR_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_VECTOR_ATTENTION_BACKWARD_INL_H_
#undef LONGSPAN_KERNELS_VECTOR_ATTENTION_BACKWARD_INL_H_
#else
#define LONGSPAN_KERNELS_VECTOR_ATTENTION_BACKWARD_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "kernels/vector/attention_columns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2  // see vector_targets.h

// Scores and the gradient of the probabilities become probabilities P and the gradient of the scores,
// P (dP - D), with D the sum of P dP (Dao et al. 2022, appendix B.2).
HWY_INLINE void SoftmaxBackward(std::int64_t keys, const float* log_sum_exp, const float* dot, float* scores,
                                float* dp) {
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
inline void AttentionBackwardTask(const AttentionShape& shape, const AttentionBackwardSequence& s,
                                  std::int64_t kv_head) {
  const std::int64_t n = s.q.rows, hd = shape.head_dim, width = (hd + kPanel - 1) / kPanel * kPanel;
  const QueryColumns columns(shape, s, kv_head * shape.group(), 0, n);
  const auto panel_floats = static_cast<std::size_t>(hd * kPanel),
             row_floats = static_cast<std::size_t>(width * kPanel);
  AlignedVector<float> q_t(panel_floats), dout_t(panel_floats), dq_t(panel_floats), q(row_floats),
      dout(row_floats);
  AlignedVector<float> dk(static_cast<std::size_t>(n * width)), dv(dk.size());
  HWY_ALIGN float p[kKvBlock * kPanel], ds[kKvBlock * kPanel], lse[kPanel], dot[kPanel];

  for (std::int64_t panel = 0; panel < columns.panels(); ++panel) {
    columns.LoadTransposed(s.q, panel, shape.scale, q_t.data());
    columns.LoadTransposed(s.dout, panel, 1.0f, dout_t.data());
    columns.Load(s.q, panel, shape.scale, width, q.data());
    columns.Load(s.dout, panel, 1.0f, width, dout.data());
    std::fill(dq_t.begin(), dq_t.end(), 0.0f);
    const std::int64_t first = panel * kPanel, used = std::min(kPanel, columns.columns() - first);
    for (std::int64_t t = 0; t < kPanel; ++t) {
      lse[t] = dot[t] = 0;
      if (t >= used) continue;
      const std::int64_t query = columns.query(first + t), head = columns.head(first + t);
      lse[t] = s.log_sum_exp.at(head, query);
      for (std::int64_t d = 0; d < hd; ++d) dot[t] += s.out.at(query, head * hd + d) * dout[t * width + d];
    }
    const QueryColumns::Span seen = columns.Seen(panel);
    for (std::int64_t k = seen.first_seen / kKvBlock; k <= seen.last_seen / kKvBlock; ++k) {
      const FloatBlock block = AsFloats(s.kv.Block(kv_head, k), hd, nullptr);
      columns.Scores(panel, seen, block, q_t.data(), p);
      PanelProduct(block.count, hd, block.v.ByTokens(), dout_t.data(), kPanel, ds, kPanel, false);
      SoftmaxBackward(block.count, lse, dot, p, ds);
      PanelProduct(hd, block.count, block.k.ByDims(), ds, kPanel, dq_t.data(), kPanel, true);
      for (std::int64_t d = 0; d < width; d += kPanel) {
        const auto at = static_cast<std::size_t>(block.first * width + d),
                   column = static_cast<std::size_t>(d);
        PanelProduct(block.count, used, {ds, kPanel, 1}, &q[column], width, &dk[at], width, true);
        PanelProduct(block.count, used, {p, kPanel, 1}, &dout[column], width, &dv[at], width, true);
      }
    }
    for (std::int64_t t = 0; t < used; ++t) {
      float* to = &s.dq.at(columns.query(first + t), columns.head(first + t) * hd);
      for (std::int64_t d = 0; d < hd; ++d) to[d] = shape.scale * dq_t[d * kPanel + t];
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    std::copy_n(&dk[i * width], hd, &s.dk.at(i, kv_head * hd));
    std::copy_n(&dv[i * width], hd, &s.dv.at(i, kv_head * hd));
  }
}

inline void AttentionBackward(const AttentionShape& shape,
                              std::span<const AttentionBackwardSequence> sequences) {
  const std::int64_t heads = shape.kv_heads;
  ParallelFor(static_cast<std::int64_t>(sequences.size()) * heads, [&](std::int64_t task) {
    AttentionBackwardTask(shape, sequences[task / heads], task % heads);
  });
}

#endif

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
