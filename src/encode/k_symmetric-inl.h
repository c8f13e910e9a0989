// Super-blocks of x = d scale q, with signed integer scales: Q3_K, Q6_K. The steps are those of
// k_affine-inl.h, with one number less.
#if defined(LONGSPAN_ENCODE_K_SYMMETRIC_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_K_SYMMETRIC_INL_H_
#undef LONGSPAN_ENCODE_K_SYMMETRIC_INL_H_
#else
#define LONGSPAN_ENCODE_K_SYMMETRIC_INL_H_
#endif

#include "encode/block_scale.h"
#include "encode/scale_fit-inl.h"
#include "encode/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

template <int kHalf_, int kMinScale_>
struct SymmetricType {
  static constexpr int kValues = 16;  // and so a group is a super-block
  static constexpr int kHalf = kHalf_, kMinScale = kMinScale_, kMaxScale = -kMinScale_ - 1;
};

struct SymmetricChoice {
  float d = 0;          // in units; codes are chosen by it
  PackedHalf d_packed;  // the same, until Lengthen changes it
  Lanes scale;
  double error = INFINITY;
};

struct SymmetricFits {
  Lanes scale, qq;
};

inline double Sum(const Lanes& lanes) {
  double sum = 0;
  for (const float value : lanes.at) sum += value;
  return sum;
}

// The d of least cost, as a reader will decode it.
template <class T>
float ChooseUnit(const SymmetricFits& fits, const SymmetricSearch& search, float group_unit) {
  float extreme = 0;
  for (const float scale : fits.scale.at) {
    if (std::abs(scale) > std::abs(extreme)) extreme = scale;
  }
  float best = 0;
  double best_cost = INFINITY;
  for (const float integer : search.integers) {
    float d = extreme / integer;
    PackScale(d, group_unit);
    Lanes cost;
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const Vec scale = Load(fits.scale.at + lane), unit = Set(d);
      const Vec nearest = hn::Round(hn::Clamp(Divide(scale, unit), Set(T::kMinScale), Set(T::kMaxScale)));
      const Vec off = hn::Sub(hn::Mul(nearest, unit), scale);
      Store(hn::Mul(hn::Mul(off, off), Load(fits.qq.at + lane)), cost.at + lane);
    }
    const double sum = Sum(cost);
    if (sum < best_cost) {
      best_cost = sum;
      best = d;
    }
  }
  return best;
}

template <class T, class Weights>
SymmetricChoice ChooseScales(const Group<T::kValues>& group, Weights weights, const SymmetricFits& fits,
                             std::span<const float> tries, float d) {
  SymmetricChoice choice;
  choice.d = d;
  choice.d_packed = PackScale(choice.d, group.unit[0]);
  Lanes errors;
  const Vec unit = Set(choice.d), least = Set(T::kMinScale), most = Set(T::kMaxScale);
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec nearest = hn::Round(hn::Clamp(Divide(Load(fits.scale.at + lane), unit), least, most));
    Vec best = nearest, best_error = Set(INFINITY);
    for (const float attempt : tries) {
      const Vec scale = hn::Clamp(hn::Add(nearest, Set(attempt)), least, most);
      const Vec error =
          ScaleError<T::kValues, T::kHalf>(group.x + lane, weights + lane, hn::Mul(unit, scale));
      const Mask better = hn::Lt(error, best_error);
      best_error = hn::IfThenElse(better, error, best_error);
      best = hn::IfThenElse(better, scale, best);
    }
    Store(best, choice.scale.at + lane);
    Store(best_error, errors.at + lane);
  }
  choice.error = Sum(errors);
  return choice;
}

// Returns the least-squares d for the scales and codes of `choice`, and sets `fits` to the best scales for
// those codes.
template <class T, class Weights>
float RefitUnit(const Group<T::kValues>& group, Weights weights, const SymmetricChoice& choice,
                SymmetricFits& fits) {
  Lanes ra, aa;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec a = Load(choice.scale.at + lane), scale = hn::Mul(Set(choice.d), a);
    const ScaleSums sums = MeasureScale<T::kValues, T::kHalf>(group.x + lane, weights + lane, scale);
    const ScaleFit fit = SolveScale(scale, sums);
    Store(fit.scale, fits.scale.at + lane);
    Store(fit.qq, fits.qq.at + lane);
    Store(hn::Mul(a, sums.rq), ra.at + lane);
    Store(hn::Mul(hn::Mul(a, a), sums.qq), aa.at + lane);
  }
  const double whole = Sum(aa);
  return whole > 0 ? choice.d + static_cast<float>(Sum(ra) / whole) : choice.d;
}

// Lengthens the d that is stored. Codes are still chosen by the other.
template <int kValues, class Weights>
void Lengthen(const Group<kValues>& group, Weights weights, float part, SymmetricChoice& choice) {
  if (part == 0) return;
  Lanes powers;
  for (int lane = 0; lane < kGroup; lane += kWidth)
    Store(Power<kValues>(group.x + lane, weights + lane), powers.at + lane);
  float d = choice.d * Lengthening(choice.error, Sum(powers), part);
  choice.d_packed = PackNearest(d, group.unit[0]);
}

// `weights` are the group's, or NoWeights where all are 1.
template <class T, class Weights>
SymmetricChoice FitSymmetric(const Group<T::kValues>& group, Weights weights, const SymmetricSearch& search) {
  SymmetricFits fits;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const ScaleFit fit =
        FitScale<T::kValues, T::kHalf>(group.x + lane, weights + lane, search.starts, search.rounds);
    Store(fit.scale, fits.scale.at + lane);
    Store(fit.qq, fits.qq.at + lane);
  }
  SymmetricChoice best =
      ChooseScales<T>(group, weights, fits, search.tries, ChooseUnit<T>(fits, search, group.unit[0]));
  SymmetricChoice last = best;
  for (int turn = 0; turn < search.turns; ++turn) {
    const float d = RefitUnit<T>(group, weights, last, fits);
    last = ChooseScales<T>(group, weights, fits, search.tries, d);
    if (last.error < best.error) best = last;
  }
  Lengthen(group, weights, search.lengthen, best);
  return best;
}

// The codes of a super-block, with kHalf added, in the order of its values at `from`.
template <class T>
void SymmetricCodes(const float* from, const Group<T::kValues>& group, const SymmetricChoice& choice,
                    SuperCodes& codes) {
  for (int i = 0; i < kGroup; ++i) {
    WriteCodes(from + T::kValues * i, T::kValues, group.inverse_unit[i], choice.d * choice.scale[i], 0,
               -T::kHalf, T::kHalf - 1, codes.data() + T::kValues * i);
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
