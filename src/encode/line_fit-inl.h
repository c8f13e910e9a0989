// Fits of x ~ scale * code + offset, code in [0, top], to the sub-blocks of a group, a lane each.
//
// For given codes the best line is a least-squares problem of two unknowns; for a given line the best codes
// are the nearest. A fit starts from several lines and alternates the two steps. Neither can make it worse.
// Everything is expressed as corrections to a line, because they stay exact where a line is nearly right.
#if defined(LONGSPAN_ENCODE_LINE_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_LINE_FIT_INL_H_
#undef LONGSPAN_ENCODE_LINE_FIT_INL_H_
#else
#define LONGSPAN_ENCODE_LINE_FIT_INL_H_
#endif

#include "encode/lanes-inl.h"
#include "encode/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

enum class OffsetSign { kAny, kNotPositive };

struct Line {
  Vec scale, offset;
};

// Sums over a sub-block with the nearest codes q of a line, w the weights, r = x - scale q - offset.
struct LineSums {
  Vec error;     // w r r
  Vec r, rq;     // w r, w r q
  Vec w, q, qq;  // w, w q, w q q
};

// A line, and what a change of it costs while its codes stay: w, q, qq as above.
struct LineFit {
  Line line;
  Vec error;
  Vec w, q, qq;
};

template <int kValues, class Weights>
HWY_INLINE LineSums MeasureLine(const float* x, Weights weights, Line line, float top) {
  const Vec inverse = Divide(Set(1), line.scale), last = Set(top);
  LineSums sums{Zero(), Zero(), Zero(), SumWeights<kValues>(weights), Zero(), Zero()};
  for (int i = 0; i < kValues; ++i) {
    const Vec above = hn::Sub(Load(x + kGroup * i), line.offset);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(above, inverse), Zero(), last));
    const Vec r = hn::Sub(above, hn::Mul(line.scale, q));
    const Vec wr = Weigh(weights, i, r), wq = Weigh(weights, i, q);
    sums.error = hn::Add(sums.error, hn::Mul(wr, r));
    sums.r = hn::Add(sums.r, wr);
    sums.rq = hn::Add(sums.rq, hn::Mul(wr, q));
    sums.q = hn::Add(sums.q, wq);
    sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
  }
  return sums;
}

// Only the error.
template <int kValues, class Weights>
HWY_INLINE Vec LineError(const float* x, Weights weights, Line line, float top) {
  const Vec inverse = Divide(Set(1), line.scale), last = Set(top);
  Vec error = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec above = hn::Sub(Load(x + kGroup * i), line.offset);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(above, inverse), Zero(), last));
    const Vec r = hn::Sub(above, hn::Mul(line.scale, q));
    error = hn::Add(error, hn::Mul(Weigh(weights, i, r), r));
  }
  return error;
}

// The least-squares line for the codes of `line`, or `line` itself if the codes do not determine one.
template <OffsetSign kSign>
HWY_INLINE LineFit Solve(Line line, const LineSums& s) {
  const Vec whole = hn::Mul(s.w, s.qq), determinant = hn::Sub(whole, hn::Mul(s.q, s.q));
  const Vec inverse = hn::Div(Set(1), determinant);
  Vec dscale = hn::Mul(hn::Sub(hn::Mul(s.w, s.rq), hn::Mul(s.q, s.r)), inverse);
  Vec doffset = hn::Mul(hn::Sub(hn::Mul(s.qq, s.r), hn::Mul(s.q, s.rq)), inverse);
  Mask usable = hn::Gt(determinant, hn::Mul(whole, Set(1e-6f)));
  if constexpr (kSign == OffsetSign::kNotPositive) {
    const Mask positive = hn::Gt(hn::Add(line.offset, doffset), Zero());
    const Vec without = hn::Div(hn::Add(s.rq, hn::Mul(line.offset, s.q)), s.qq);
    doffset = hn::IfThenElse(positive, hn::Neg(line.offset), doffset);
    dscale = hn::IfThenElse(positive, without, dscale);
  }
  usable = hn::And(usable, hn::Gt(hn::Add(line.scale, dscale), Zero()));
  dscale = hn::IfThenElseZero(usable, dscale);
  doffset = hn::IfThenElseZero(usable, doffset);
  // error - 2 (ds rq + do r) + ds ds qq + 2 ds do q + do do w
  const Vec by_scale = hn::Sub(hn::Add(hn::Mul(dscale, s.qq), hn::Mul(doffset, s.q)), hn::Add(s.rq, s.rq));
  const Vec by_offset = hn::Sub(hn::Add(hn::Mul(doffset, s.w), hn::Mul(dscale, s.q)), hn::Add(s.r, s.r));
  const Vec change = hn::Add(hn::Mul(dscale, by_scale), hn::Mul(doffset, by_offset));
  return {{hn::Add(line.scale, dscale), hn::Add(line.offset, doffset)},
          hn::Max(hn::Add(s.error, change), Zero()),
          s.w,
          s.q,
          s.qq};
}

// Sums over a sub-block with the codes q = round(y inverse + shift), y = x - low, w the weights. Without
// kClip, all codes are known to be in [0, last] once rounded.
struct StartSums {
  Vec q, qq, yq;  // w q, w q q, w y q
};
template <int kValues, bool kClip, class Weights>
HWY_INLINE StartSums MeasureStart(const float* y, Weights weights, Vec inverse, Vec shift, Vec last) {
  StartSums sums{Zero(), Zero(), Zero()};
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(y + kWidth * i);
    Vec exact = hn::Add(hn::Mul(v, inverse), shift);
    if constexpr (kClip) exact = hn::Clamp(exact, Zero(), last);
    const Vec q = hn::Round(exact), wq = Weigh(weights, i, q);
    sums.q = hn::Add(sums.q, wq);
    sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
    sums.yq = hn::Add(sums.yq, hn::Mul(wq, v));
  }
  return sums;
}

// The best line to start a fit from: the least-squares lines for the codes of each start are compared. One
// start costs half of MeasureLine, because it ignores the residuals. That is exact enough to choose by.
template <int kValues, OffsetSign kSign, class Weights>
HWY_INLINE Line BestStart(const float* x, Weights weights, float top, std::span<const LineStart> starts) {
  Vec low = Load(x), high = low;
  for (int i = 1; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  if constexpr (kSign == OffsetSign::kNotPositive) low = hn::Min(low, Zero());
  alignas(64) float above[kValues * kWidth];  // y = x - low
  Vec y = Zero(), yy = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = hn::Sub(Load(x + kGroup * i), low), wv = Weigh(weights, i, v);
    Store(v, above + kWidth * i);
    y = hn::Add(y, wv);
    yy = hn::Add(yy, hn::Mul(wv, v));
  }
  const Vec w = SumWeights<kValues>(weights);
  const Vec range = hn::Max(hn::Sub(high, low), Zero()), per_range = Divide(Set(1), range), last = Set(top);
  Line best{hn::Mul(range, Set(1 / top)), low};
  Vec best_error = Set(INFINITY);
  for (const LineStart start : starts) {
    const Vec inverse = hn::Mul(per_range, Set(top + start.beyond - start.low)), shift = Set(start.low);
    // Codes less than half a code beyond their bounds are rounded to them. (A half rounds to the even
    // neighbour: 0 is even, the top code is not.)
    const bool clip = start.low < -0.5f || start.beyond >= 0.5f;
    const auto [q, qq, yq] = clip ? MeasureStart<kValues, true>(above, weights, inverse, shift, last)
                                  : MeasureStart<kValues, false>(above, weights, inverse, shift, last);
    const Vec determinant = hn::Sub(hn::Mul(w, qq), hn::Mul(q, q)), over = hn::Div(Set(1), determinant);
    Vec scale = hn::Mul(hn::Sub(hn::Mul(w, yq), hn::Mul(y, q)), over);
    Vec offset = hn::Mul(hn::Sub(hn::Mul(qq, y), hn::Mul(q, yq)), over);  // from low
    if constexpr (kSign == OffsetSign::kNotPositive) {
      const Mask positive = hn::Gt(hn::Add(low, offset), Zero());
      offset = hn::IfThenElse(positive, hn::Neg(low), offset);
      scale = hn::IfThenElse(positive, hn::Div(hn::Add(yq, hn::Mul(low, q)), qq), scale);
    }
    // yy - 2 scale yq - 2 offset y + scale scale qq + 2 scale offset q + offset offset w
    const Vec by_scale = hn::Sub(hn::Add(hn::Mul(scale, qq), hn::Mul(offset, q)), hn::Add(yq, yq));
    const Vec by_offset = hn::Sub(hn::Add(hn::Mul(offset, w), hn::Mul(scale, q)), hn::Add(y, y));
    const Vec error = hn::Add(yy, hn::Add(hn::Mul(scale, by_scale), hn::Mul(offset, by_offset)));
    const Mask usable =
        hn::And(hn::Gt(determinant, hn::Mul(hn::Mul(w, qq), Set(1e-6f))), hn::Gt(scale, Zero()));
    const Mask better = hn::And(usable, hn::Lt(error, best_error));
    best_error = hn::IfThenElse(better, error, best_error);
    best.scale = hn::IfThenElse(better, scale, best.scale);
    best.offset = hn::IfThenElse(better, hn::Add(low, offset), best.offset);
  }
  return best;
}

// Takes the best start, then alternates nearest codes and least squares for `rounds`.
template <int kValues, OffsetSign kSign, class Weights>
HWY_INLINE LineFit FitLine(const float* x, Weights weights, float top, std::span<const LineStart> starts,
                           int rounds) {
  Line line = BestStart<kValues, kSign>(x, weights, top, starts);
  for (int i = 1; i < rounds; ++i) {
    line = Solve<kSign>(line, MeasureLine<kValues>(x, weights, line, top)).line;
  }
  return Solve<kSign>(line, MeasureLine<kValues>(x, weights, line, top));
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
