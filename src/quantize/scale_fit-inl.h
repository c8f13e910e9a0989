// Fits of x ~ scale * code, code in [-half, half - 1], to the sub-blocks of a group, a lane each. The scale
// may be negative, for the code that has no positive counterpart serves whichever sign is longer. See
// line_fit-inl.h for how a fit goes.
#if defined(LONGSPAN_QUANTIZE_SCALE_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_QUANTIZE_SCALE_FIT_INL_H_
#undef LONGSPAN_QUANTIZE_SCALE_FIT_INL_H_
#else
#define LONGSPAN_QUANTIZE_SCALE_FIT_INL_H_
#endif

#include "quantize/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// Sums over a sub-block with the nearest codes q of a scale, w the weights, r = x - scale q.
struct ScaleSums {
  Vec error;   // w r r
  Vec rq, qq;  // w r q, w q q
};

struct ScaleFit {
  Vec scale;
  Vec qq;  // what the square of a change of the scale costs while codes stay
};

template <int kValues, int kHalf>
HWY_INLINE ScaleSums MeasureScale(const float* x, const float* weights, Vec scale) {
  const Vec inverse = Divide(Set(1), scale), low = Set(-kHalf), high = Set(kHalf - 1);
  ScaleSums sums{Zero(), Zero(), Zero()};
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(v, inverse), low, high));
    const Vec r = hn::Sub(v, hn::Mul(scale, q)), w = Load(weights + kGroup * i), wr = hn::Mul(w, r);
    sums.error = hn::Add(sums.error, hn::Mul(wr, r));
    sums.rq = hn::Add(sums.rq, hn::Mul(wr, q));
    sums.qq = hn::Add(sums.qq, hn::Mul(hn::Mul(w, q), q));
  }
  return sums;
}

// Only the error.
template <int kValues, int kHalf>
HWY_INLINE Vec ScaleError(const float* x, const float* weights, Vec scale) {
  const Vec inverse = Divide(Set(1), scale), low = Set(-kHalf), high = Set(kHalf - 1);
  Vec error = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(v, inverse), low, high));
    const Vec r = hn::Sub(v, hn::Mul(scale, q));
    error = hn::Add(error, hn::Mul(hn::Mul(Load(weights + kGroup * i), r), r));
  }
  return error;
}

HWY_INLINE ScaleFit SolveScale(Vec scale, const ScaleSums& sums) {
  return {hn::Add(scale, Divide(sums.rq, sums.qq)), sums.qq};
}

// Of each start, the code that the value farthest from zero would get if codes had no bounds.
template <int kValues, int kHalf>
HWY_INLINE ScaleFit FitScale(const float* x, const float* weights, std::span<const float> starts,
                             int rounds) {
  Vec low = Zero(), high = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  const Vec extreme = hn::IfThenElse(hn::Gt(hn::Neg(low), high), low, high),
            per_extreme = Divide(Set(1), extreme);
  const Vec first = Set(-kHalf), last = Set(kHalf - 1);
  Vec best = Zero(), best_gain = Zero();
  for (const float start : starts) {
    const Vec inverse = hn::Mul(per_extreme, Set(start));
    Vec xq = Zero(), qq = Zero();
    for (int i = 0; i < kValues; ++i) {
      const Vec v = Load(x + kGroup * i);
      const Vec q = hn::Round(hn::Clamp(hn::Mul(v, inverse), first, last));
      const Vec wq = hn::Mul(Load(weights + kGroup * i), q);
      xq = hn::Add(xq, hn::Mul(wq, v));
      qq = hn::Add(qq, hn::Mul(wq, q));
    }
    const Vec scale = Divide(xq, qq), gain = hn::Mul(scale, xq);  // the square error is less by that
    const Mask better = hn::Gt(gain, best_gain);
    best_gain = hn::IfThenElse(better, gain, best_gain);
    best = hn::IfThenElse(better, scale, best);
  }
  ScaleFit fit = SolveScale(best, MeasureScale<kValues, kHalf>(x, weights, best));
  for (int i = 1; i < rounds; ++i)
    fit = SolveScale(fit.scale, MeasureScale<kValues, kHalf>(x, weights, fit.scale));
  return fit;
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
