// Fits of x ~ scale * code, code in [-half, half - 1], to the sub-blocks of a group, a lane each. The scale
// may be negative, because the code without a positive counterpart serves the sign with the larger values.
// See line_fit-inl.h for how a fit goes.
#if defined(LONGSPAN_ENCODE_SCALE_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_SCALE_FIT_INL_H_
#undef LONGSPAN_ENCODE_SCALE_FIT_INL_H_
#else
#define LONGSPAN_ENCODE_SCALE_FIT_INL_H_
#endif

#include "encode/lanes-inl.h"

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

template <int kValues, int kHalf, class Weights>
HWY_INLINE ScaleSums MeasureScale(const float* x, Weights weights, Vec scale) {
  const Vec inverse = Divide(Set(1), scale), low = Set(-kHalf), high = Set(kHalf - 1);
  ScaleSums sums{Zero(), Zero(), Zero()};
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(v, inverse), low, high));
    const Vec r = hn::Sub(v, hn::Mul(scale, q)), wr = Weigh(weights, i, r);
    sums.error = hn::Add(sums.error, hn::Mul(wr, r));
    sums.rq = hn::Add(sums.rq, hn::Mul(wr, q));
    sums.qq = hn::Add(sums.qq, hn::Mul(Weigh(weights, i, q), q));
  }
  return sums;
}

// Only the error.
template <int kValues, int kHalf, class Weights>
HWY_INLINE Vec ScaleError(const float* x, Weights weights, Vec scale) {
  const Vec inverse = Divide(Set(1), scale), low = Set(-kHalf), high = Set(kHalf - 1);
  Vec error = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    const Vec q = hn::Round(hn::Clamp(hn::Mul(v, inverse), low, high));
    const Vec r = hn::Sub(v, hn::Mul(scale, q));
    error = hn::Add(error, hn::Mul(Weigh(weights, i, r), r));
  }
  return error;
}

HWY_INLINE ScaleFit SolveScale(Vec scale, const ScaleSums& sums) {
  return {hn::Add(scale, Divide(sums.rq, sums.qq)), sums.qq};
}

// Which bounds rounded codes may exceed.
enum class Clip { kNone, kHigh, kBoth };

// Sums over a sub-block with the codes q = round(x inverse).
struct ProductSums {
  Vec xq, qq;  // w x q, w q q
};
template <int kValues, int kHalf, Clip kClip, class Weights>
HWY_INLINE ProductSums MeasureProducts(const float* x, Weights weights, Vec inverse) {
  const Vec low = Set(-kHalf), high = Set(kHalf - 1);
  ProductSums sums{Zero(), Zero()};
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    Vec exact = hn::Mul(v, inverse);
    if constexpr (kClip == Clip::kHigh) exact = hn::Min(exact, high);
    if constexpr (kClip == Clip::kBoth) exact = hn::Clamp(exact, low, high);
    const Vec q = hn::Round(exact), wq = Weigh(weights, i, q);
    sums.xq = hn::Add(sums.xq, hn::Mul(wq, v));
    sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
  }
  return sums;
}

// Each of `starts` is the code that the value farthest from zero would get if codes had no bounds.
template <int kValues, int kHalf, class Weights>
HWY_INLINE ScaleFit FitScale(const float* x, Weights weights, std::span<const float> starts, int rounds) {
  Vec low = Zero(), high = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  const Vec extreme = hn::IfThenElse(hn::Gt(hn::Neg(low), high), low, high),
            per_extreme = Divide(Set(1), extreme);
  Vec best = Zero(), best_gain = Zero();
  for (const float start : starts) {
    const Vec inverse = hn::Mul(per_extreme, Set(start));
    // Codes lie between -start and start, and the lowest has no positive counterpart.
    const float widest = std::abs(start);
    const auto [xq, qq] =
        widest < kHalf - 0.5f   ? MeasureProducts<kValues, kHalf, Clip::kNone>(x, weights, inverse)
        : widest < kHalf + 0.5f ? MeasureProducts<kValues, kHalf, Clip::kHigh>(x, weights, inverse)
                                : MeasureProducts<kValues, kHalf, Clip::kBoth>(x, weights, inverse);
    const Vec scale = Divide(xq, qq), gain = hn::Mul(scale, xq);  // the square error falls by the gain
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
