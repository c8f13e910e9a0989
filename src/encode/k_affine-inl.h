// Super-blocks of x = d scale q - dmin min: Q2_K, Q4_K, Q5_K. The sub-blocks' scales and mins are small
// integers, so a super-block is fitted in alternating steps:
//   1. each sub-block's line alone (line_fit-inl.h), and the cost of changing it;
//   2. among several d and dmin, those for which the nearest integers cost least;
//   3. the best of these integers and their neighbours, by the error with d and dmin as they are decoded;
//   4. d and dmin again, by least squares for the chosen integers and codes; then step 3 again.
#if defined(LONGSPAN_ENCODE_K_AFFINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_K_AFFINE_INL_H_
#undef LONGSPAN_ENCODE_K_AFFINE_INL_H_
#else
#define LONGSPAN_ENCODE_K_AFFINE_INL_H_
#endif

#include "encode/block_scale.h"
#include "encode/line_fit-inl.h"
#include "encode/search_tables.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

template <int kValues_, int kTop_, int kMaxScale_>
struct AffineType {
  static constexpr int kValues = kValues_, kTop = kTop_, kMaxScale = kMaxScale_;
  static constexpr int kSubs = kSuperBlock / kValues, kBlocks = kGroup / kSubs;
};

// Rounds a super-block's scale as it is stored. Its first lane has the scale; all its lanes get the rounded
// one.
template <class T>
PackedHalf PackShared(Lanes& scale, int block, const Lanes& unit) {
  float* lanes = scale.at + T::kSubs * block;
  const PackedHalf packed = PackScale(*lanes, unit[T::kSubs * block]);
  std::fill_n(lanes, T::kSubs, *lanes);
  return packed;
}

// The fits of a group's sub-blocks, in memory.
struct AffineFits {
  Lanes scale, offset, w, q, qq;
  Lanes mean;  // of the codes

  HWY_INLINE void Put(int lane, const LineFit& fit) {
    Store(fit.line.scale, scale.at + lane);
    Store(fit.line.offset, offset.at + lane);
    Store(fit.w, w.at + lane);
    Store(fit.q, q.at + lane);
    Store(fit.qq, qq.at + lane);
    Store(hn::Div(fit.q, fit.w), mean.at + lane);
  }
};

// What is stored of a group's super-blocks besides the codes.
struct AffineChoice {
  Lanes d, dmin;  // in units; the same for all lanes of a super-block. Codes are chosen by them.
  // What a reader will decode: the same, until Lengthen changes it.
  PackedHalf d_packed[2], dmin_packed[2];
  Lanes scale, min;
  Lanes error;

  template <class T>
  double BlockError(int block) const {
    double sum = 0;
    for (int i = 0; i < T::kSubs; ++i) sum += error[T::kSubs * block + i];
    return sum;
  }
  template <class T>
  void Take(int block, const AffineChoice& other) {
    d_packed[block] = other.d_packed[block];
    dmin_packed[block] = other.dmin_packed[block];
    for (int i = T::kSubs * block; i < T::kSubs * (block + 1); ++i) {
      d[i] = other.d[i];
      dmin[i] = other.dmin[i];
      scale[i] = other.scale[i];
      min[i] = other.min[i];
      error[i] = other.error[i];
    }
  }
  // Rounds d and dmin. The first lane of each super-block has the exact value.
  template <class T>
  void Pack(const Lanes& unit) {
    for (int block = 0; block < T::kBlocks; ++block) {
      d_packed[block] = PackShared<T>(d, block, unit);
      dmin_packed[block] = PackShared<T>(dmin, block, unit);
    }
  }
};

// d and dmin of a group, and their inverses.
struct Units {
  Vec d, inverse_d, dmin, inverse_dmin;

  HWY_INLINE Units(Vec d_, Vec dmin_)
      : d(d_), inverse_d(Divide(Set(1), d_)), dmin(dmin_), inverse_dmin(Divide(Set(1), dmin_)) {}
};

struct Integers {
  Vec scale, min;
};

// The integer min that goes best with a scale.
template <class T>
HWY_INLINE Vec MinFor(const AffineFits& fits, int lane, const Units& units, Vec scale) {
  const Vec dscale = hn::Sub(hn::Mul(scale, units.d), Load(fits.scale.at + lane));
  const Vec wanted = hn::Sub(hn::Mul(Load(fits.mean.at + lane), dscale), Load(fits.offset.at + lane));
  return hn::Round(hn::Clamp(hn::Mul(wanted, units.inverse_dmin), Zero(), Set(T::kMaxScale)));
}

// The cost of integers if the codes stay.
HWY_INLINE Vec Cost(const AffineFits& fits, int lane, const Units& units, Integers n) {
  const Vec dscale = hn::Sub(hn::Mul(n.scale, units.d), Load(fits.scale.at + lane));
  const Vec doffset = hn::Add(hn::Mul(n.min, units.dmin), Load(fits.offset.at + lane));  // its negative
  const Vec by_scale = hn::Sub(hn::Mul(dscale, Load(fits.qq.at + lane)),
                               hn::Mul(hn::Add(doffset, doffset), Load(fits.q.at + lane)));
  return hn::Add(hn::Mul(dscale, by_scale), hn::Mul(hn::Mul(doffset, doffset), Load(fits.w.at + lane)));
}

// The integers that cost least if the codes stay.
template <class T>
HWY_INLINE Integers Nearest(const AffineFits& fits, int lane, const Units& units) {
  const Vec most = Set(T::kMaxScale), exact = hn::Mul(Load(fits.scale.at + lane), units.inverse_d);
  Integers a, b;
  a.scale = hn::Min(hn::Floor(exact), most);
  b.scale = hn::Min(hn::Add(a.scale, Set(1)), most);
  a.min = MinFor<T>(fits, lane, units, a.scale);
  b.min = MinFor<T>(fits, lane, units, b.scale);
  const Mask first = hn::Le(Cost(fits, lane, units, a), Cost(fits, lane, units, b));
  return {hn::IfThenElse(first, a.scale, b.scale), hn::IfThenElse(first, a.min, b.min)};
}

// Step 2. First chooses d, with any dmin, then dmin for that d, both as a reader will decode them.
template <class T>
void ChooseUnits(const AffineFits& fits, const AffineSearch& search, const Lanes& unit,
                 AffineChoice& choice) {
  Lanes top_scale = fits.scale, top_min;
  for (int i = 0; i < kGroup; ++i) top_min[i] = std::max(-fits.offset[i], 0.0f);
  SpreadLargest(top_scale, T::kSubs);
  SpreadLargest(top_min, T::kSubs);
  // Tries each integer for the largest scale or min. price(candidate, cost) sets the cost lane by lane.
  const auto choose = [&](const Lanes& top, Lanes& chosen, PackedHalf* packed, const auto& price) {
    float best[T::kBlocks];
    std::fill_n(best, T::kBlocks, INFINITY);
    for (const float integer : search.integers) {
      Lanes candidate, cost;
      for (int block = 0; block < T::kBlocks; ++block) {
        const int first = T::kSubs * block;
        std::fill_n(candidate.at + first, T::kSubs, top[first] / integer);
        // Above 2^-14 F16 is fine enough for its rounding not to matter yet.
        if (candidate[first] * unit[first] < 0x1p-14f) PackShared<T>(candidate, block, unit);
      }
      price(candidate, cost);
      for (int block = 0; block < T::kBlocks; ++block) {
        const int first = T::kSubs * block;
        // Adds halves, which is faster than adding one after the other.
        for (int half = T::kSubs / 2; half > 0; half /= 2) {
          for (int i = first; i < first + half; ++i) cost[i] += cost[i + half];
        }
        if (cost[first] >= best[block]) continue;
        best[block] = cost[first];
        std::copy_n(candidate.at + first, T::kSubs, chosen.at + first);
      }
    }
    for (int block = 0; block < T::kBlocks; ++block) packed[block] = PackShared<T>(chosen, block, unit);
  };
  choose(top_scale, choice.d, choice.d_packed, [&](const Lanes& candidate, Lanes& cost) {
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const Vec scale = Load(fits.scale.at + lane), d = Load(candidate.at + lane);
      const Vec integer = hn::Round(hn::Min(Divide(scale, d), Set(T::kMaxScale)));
      const Vec off = hn::Sub(hn::Mul(integer, d), scale);
      // The offset is assumed to follow the scale as well as it can.
      const Vec slope =
          hn::Sub(Load(fits.qq.at + lane), hn::Mul(Load(fits.q.at + lane), Load(fits.mean.at + lane)));
      Store(hn::Mul(hn::Mul(off, off), slope), cost.at + lane);
    }
  });
  choose(top_min, choice.dmin, choice.dmin_packed, [&](const Lanes& candidate, Lanes& cost) {
    for (int lane = 0; lane < kGroup; lane += kWidth) {
      const Units units(Load(choice.d.at + lane), Load(candidate.at + lane));
      Store(Cost(fits, lane, units, Nearest<T>(fits, lane, units)), cost.at + lane);
    }
  });
}

// Step 3.
template <class T, class Weights>
void ChooseIntegers(const Group<T::kValues>& group, Weights weights, const AffineFits& fits,
                    std::span<const IntegerTry> tries, AffineChoice& choice) {
  const Vec most = Set(T::kMaxScale);
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Units units(Load(choice.d.at + lane), Load(choice.dmin.at + lane));
    const Integers nearest = Nearest<T>(fits, lane, units);
    Integers best = nearest;
    Vec best_error = Set(INFINITY);
    for (const IntegerTry attempt : tries) {
      Integers n{hn::Clamp(hn::Add(nearest.scale, Set(attempt.scale)), Zero(), most), nearest.min};
      if (attempt.scale != 0) n.min = MinFor<T>(fits, lane, units, n.scale);
      n.min = hn::Clamp(hn::Add(n.min, Set(attempt.min)), Zero(), most);
      const Line line{hn::Mul(units.d, n.scale), hn::Neg(hn::Mul(units.dmin, n.min))};
      const Vec error = LineError<T::kValues>(group.x + lane, weights + lane, line, T::kTop);
      const Mask better = hn::Lt(error, best_error);
      best_error = hn::IfThenElse(better, error, best_error);
      best.scale = hn::IfThenElse(better, n.scale, best.scale);
      best.min = hn::IfThenElse(better, n.min, best.min);
    }
    Store(best.scale, choice.scale.at + lane);
    Store(best.min, choice.min.at + lane);
    Store(best_error, choice.error.at + lane);
  }
}

// Step 4. Sets `next` to the least-squares d and dmin for the integers and codes of `choice`, and `fits` to
// the best lines for those codes.
template <class T, class Weights>
void RefitUnits(const Group<T::kValues>& group, Weights weights, const AffineChoice& choice, AffineFits& fits,
                AffineChoice& next) {
  Lanes aa, ab, bb, ra, rb;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec a = Load(choice.scale.at + lane), b = hn::Neg(Load(choice.min.at + lane));
    const Line line{hn::Mul(Load(choice.d.at + lane), a), hn::Mul(Load(choice.dmin.at + lane), b)};
    const LineSums sums = MeasureLine<T::kValues>(group.x + lane, weights + lane, line, T::kTop);
    fits.Put(lane, Solve<OffsetSign::kNotPositive>(line, sums));
    Store(hn::Mul(hn::Mul(a, a), sums.qq), aa.at + lane);
    Store(hn::Mul(hn::Mul(a, b), sums.q), ab.at + lane);
    Store(hn::Mul(hn::Mul(b, b), sums.w), bb.at + lane);
    Store(hn::Mul(a, sums.rq), ra.at + lane);
    Store(hn::Mul(b, sums.r), rb.at + lane);
  }
  for (int block = 0; block < T::kBlocks; ++block) {
    const int first = T::kSubs * block;
    double saa = 0, sab = 0, sbb = 0, sra = 0, srb = 0;
    for (int i = first; i < first + T::kSubs; ++i) {
      saa += aa[i];
      sab += ab[i];
      sbb += bb[i];
      sra += ra[i];
      srb += rb[i];
    }
    float d = choice.d[first], dmin = choice.dmin[first];
    const double determinant = saa * sbb - sab * sab;
    if (determinant > 1e-6 * saa * sbb) {
      d += static_cast<float>((sra * sbb - srb * sab) / determinant);
      dmin += static_cast<float>((srb * saa - sra * sab) / determinant);
    } else if (saa > 0 && sbb == 0) {
      d += static_cast<float>(sra / saa);
    }
    next.d[first] = std::max(d, 0.0f);
    next.dmin[first] = std::max(dmin, 0.0f);
  }
}

// Lengthens the d and dmin that are stored. Codes are still chosen by the others.
template <class T, class Weights>
void Lengthen(const Group<T::kValues>& group, Weights weights, float part, AffineChoice& choice) {
  if (part == 0) return;
  Lanes powers;
  for (int lane = 0; lane < kGroup; lane += kWidth)
    Store(Power<T::kValues>(group.x + lane, weights + lane), powers.at + lane);
  for (int block = 0; block < T::kBlocks; ++block) {
    const int first = T::kSubs * block;
    double power = 0;
    for (int i = first; i < first + T::kSubs; ++i) power += powers[i];
    const float factor = Lengthening(choice.BlockError<T>(block), power, part);
    float d = choice.d[first] * factor, dmin = choice.dmin[first] * factor;
    choice.d_packed[block] = PackNearest(d, group.unit[first]);
    choice.dmin_packed[block] = PackNearest(dmin, group.unit[first]);
  }
}

// `weights` are the group's, or NoWeights where all are 1.
template <class T, class Weights>
AffineChoice FitAffine(const Group<T::kValues>& group, Weights weights, const AffineSearch& search) {
  AffineFits fits;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    fits.Put(lane, FitLine<T::kValues, OffsetSign::kNotPositive>(group.x + lane, weights + lane, T::kTop,
                                                                 search.starts, search.rounds));
  }
  AffineChoice best;
  ChooseUnits<T>(fits, search, group.unit, best);
  ChooseIntegers<T>(group, weights, fits, search.tries, best);
  AffineChoice last = best;
  for (int turn = 0; turn < search.turns; ++turn) {
    AffineChoice next;
    RefitUnits<T>(group, weights, last, fits, next);
    next.Pack<T>(group.unit);
    ChooseIntegers<T>(group, weights, fits, search.tries, next);
    for (int block = 0; block < T::kBlocks; ++block) {
      if (next.BlockError<T>(block) < best.BlockError<T>(block)) best.Take<T>(block, next);
    }
    last = next;
  }
  Lengthen<T>(group, weights, search.lengthen, best);
  return best;
}

// The codes of a super-block, in the order of its values at `from`.
template <class T>
void AffineCodes(const float* from, const Group<T::kValues>& group, const AffineChoice& choice, int block,
                 SuperCodes& codes) {
  for (int i = 0; i < T::kSubs; ++i) {
    const int lane = T::kSubs * block + i;
    WriteCodes(from + T::kValues * i, T::kValues, group.inverse_unit[lane],
               choice.d[lane] * choice.scale[lane], -(choice.dmin[lane] * choice.min[lane]), 0, T::kTop,
               codes.data() + T::kValues * i);
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
