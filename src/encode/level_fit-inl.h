// Fits of x ~ scale * level, with IQ4's sixteen levels, to the sub-blocks of a group, a lane each. The levels
// are not symmetric, so a scale's sign matters and both are tried.
//
// With the nearest levels q of some scale, the least-squares scale is sum(w x q) / sum(w q q), and the square
// error is less than that of zeros by sum(w x q)^2 / sum(w q q): its gain. A fit takes the scale of the
// largest gain among many; the error is a jagged function of the scale, whose valleys only a search finds.
#if defined(LONGSPAN_ENCODE_LEVEL_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_LEVEL_FIT_INL_H_
#undef LONGSPAN_ENCODE_LEVEL_FIT_INL_H_
#else
#define LONGSPAN_ENCODE_LEVEL_FIT_INL_H_
#endif

#include <array>

#include "encode/block_pack.h"
#include "encode/lanes-inl.h"

#if HWY_TARGET <= HWY_AVX2
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

inline constexpr int kLevels = 16;

// From kBoundaries[i] on, a number is nearer to level i + 1 than to level i.
inline constexpr std::array<float, kLevels - 1> kBoundaries = [] {
  std::array<float, kLevels - 1> boundaries{};
  for (int i = 0; i + 1 < kLevels; ++i)
    boundaries[i] = static_cast<float>(kIq4Levels[i] + kIq4Levels[i + 1]) / 2;
  return boundaries;
}();

template <int kCount>
using Table = std::array<float, kCount>;

#if HWY_TARGET <= HWY_AVX3

// At most one boundary lies in each of 32 stretches of the line. These are the levels on its two sides.
inline constexpr float kStretch = 10;
struct Stretches {
  Table<32> low{}, high{};
};
alignas(64) inline constexpr Stretches kStretches = [] {
  Stretches s;
  for (int i = 0; i < 32; ++i) {
    const float from = kStretch * static_cast<float>(i - 16);
    int low = 0, high = 0;
    for (const float boundary : kBoundaries) {
      low += boundary < from ? 1 : 0;
      high += boundary < from + kStretch ? 1 : 0;
    }
    s.low[i] = kIq4Levels[low];
    s.high[i] = kIq4Levels[high];
  }
  return s;
}();

class NearestLevel {
 public:
  // Written out, because a constructor that the compiler makes is not compiled for this instruction set.
  HWY_INLINE NearestLevel()
      : low_{Load(kStretches.low.data()), Load(kStretches.low.data() + 16)},
        high_{Load(kStretches.high.data()), Load(kStretches.high.data() + 16)} {}

  HWY_INLINE Vec operator()(Vec t) const {
    const Vec kept = hn::Clamp(t, Set(-15.9f * kStretch), Set(15.9f * kStretch));
    const __m512i stretch = _mm512_cvttps_epi32(hn::MulAdd(kept, Set(1 / kStretch), Set(16)).raw);
    const Vec low{_mm512_permutex2var_ps(low_[0].raw, stretch, low_[1].raw)};
    const Vec high{_mm512_permutex2var_ps(high_[0].raw, stretch, high_[1].raw)};
    return hn::IfThenElse(hn::Ge(hn::Add(t, t), hn::Add(low, high)), high, low);
  }

 private:
  Vec low_[2], high_[2];
};

#elif HWY_TARGET <= HWY_AVX2

// Finds a level by four comparisons, each with the boundary that halves what the ones before have left.
class NearestLevel {
 public:
  HWY_INLINE NearestLevel()
      : third_(Eight([](int i) { return kBoundaries[i / 2 * 4 + 1]; })),
        fourth_(Eight([](int i) { return kBoundaries[2 * i]; })),
        even_(Eight([](int i) { return static_cast<float>(kIq4Levels[2 * i]); })),
        odd_(Eight([](int i) { return static_cast<float>(kIq4Levels[2 * i + 1]); })) {}

  HWY_INLINE Vec operator()(Vec t) const {
    const auto first = hn::Ge(t, Set(kBoundaries[7]));
    const auto second = hn::Ge(t, hn::IfThenElse(first, Set(kBoundaries[11]), Set(kBoundaries[3])));
    const auto eighth = hn::Or(Bit(first, 4), Bit(second, 2));
    const auto third = hn::Ge(t, Pick(third_, eighth));
    const auto pair = hn::Or(eighth, Bit(third, 1));
    const auto fourth = hn::Ge(t, Pick(fourth_, pair));
    return hn::IfThenElse(fourth, Pick(odd_, pair), Pick(even_, pair));
  }

 private:
  using Int = hn::Vec<hn::RebindToSigned<Tag> >;
  static HWY_INLINE Int Bit(Mask mask, int bit) {
    const hn::RebindToSigned<Tag> di;
    return hn::And(hn::BitCast(di, hn::VecFromMask(Tag(), mask)), hn::Set(di, bit));
  }
  static HWY_INLINE Vec Pick(Vec table, Int which) {
    return hn::TableLookupLanes(table, hn::IndicesFromVec(Tag(), which));
  }
  // entry(i) for eight i.
  template <class Entry>
  static HWY_INLINE Vec Eight(const Entry& entry) {
    alignas(32) float table[8];
    for (int i = 0; i < 8; ++i) table[i] = entry(i);
    return Load(table);
  }

  Vec third_, fourth_, even_, odd_;
};

#else

class NearestLevel {
 public:
  HWY_INLINE Vec operator()(Vec t) const {
    Vec level = Set(kIq4Levels[0]);
    for (int i = 0; i + 1 < kLevels; ++i) {
      level = hn::IfThenElse(hn::Ge(t, Set(kBoundaries[i])), Set(kIq4Levels[i + 1]), level);
    }
    return level;
  }
};

#endif

// Sums over a sub-block with the nearest levels q, w the weights.
struct LevelSums {
  Vec xq, qq;  // w x q, w q q
};

template <int kValues>
HWY_INLINE LevelSums MeasureLevels(const Group<kValues>& group, int lane, Vec inverse,
                                   const NearestLevel& nearest) {
  LevelSums sums{Zero(), Zero()};
  for (int i = lane; i < kValues * kGroup; i += kGroup) {
    const Vec x = Load(group.x + i);
    const Vec q = nearest(hn::Mul(x, inverse));
    const Vec wq = hn::Mul(Load(group.weights + i), q);
    sums.xq = hn::Add(sums.xq, hn::Mul(wq, x));
    sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
  }
  return sums;
}

// The best scales of one sign, a lane each, or zeros where none was found.
struct LevelFit {
  Lanes scale, gain;
  Lanes qq;  // what the square of a change of the scale costs while levels stay
};

// Where the value farthest from zero may land on the scale of the levels. Past their end it is cut off, which
// helps the others, especially if they matter more.
inline constexpr float kReaches[] = {92,  96,  100, 104, 108, 112, 116, 120, 124, 128,
                                     133, 138, 143, 148, 154, 162, 172, 185, 205, 235};
// Where the root mean square may land, for a sub-block whose farthest value hardly counts.
inline constexpr float kSpreads[] = {50, 65};

// fits[0] has scales that put the farthest value among the negative levels, fits[1] among the positive ones.
template <int kValues>
void FitLevels(const Group<kValues>& group, LevelFit (&fits)[2]) {
  const NearestLevel nearest;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    Vec low = Zero(), high = Zero(), squares = Zero(), total = Zero();
    for (int i = lane; i < kValues * kGroup; i += kGroup) {
      const Vec x = Load(group.x + i), w = Load(group.weights + i);
      low = hn::Min(low, x);
      high = hn::Max(high, x);
      squares = hn::Add(squares, hn::Mul(hn::Mul(w, x), x));
      total = hn::Add(total, w);
    }
    const Vec extreme = hn::IfThenElse(hn::Gt(hn::Neg(low), high), low, high);
    const Vec spread = hn::CopySign(hn::Sqrt(Divide(squares, total)), extreme);
    for (int sign = 0; sign < 2; ++sign) {
      Vec scale = Zero(), gain = Zero(), cost = Zero();
      const auto consider = [&](Vec inverse) {
        const LevelSums sums = MeasureLevels(group, lane, inverse, nearest);
        const Vec fitted = Divide(sums.xq, sums.qq), fitted_gain = hn::Mul(fitted, sums.xq);
        // A scale of the other sign belongs to the other fit.
        const Mask better = hn::And(hn::Gt(fitted_gain, gain), hn::Gt(hn::Mul(fitted, inverse), Zero()));
        scale = hn::IfThenElse(better, fitted, scale);
        gain = hn::IfThenElse(better, fitted_gain, gain);
        cost = hn::IfThenElse(better, sums.qq, cost);
      };
      const float direction = sign == 0 ? -1 : 1;
      const Vec per_extreme = Divide(Set(direction), extreme), per_spread = Divide(Set(direction), spread);
      for (const float reach : kReaches) consider(hn::Mul(per_extreme, Set(reach)));
      for (const float reach : kSpreads) consider(hn::Mul(per_spread, Set(reach)));
      Store(scale, fits[sign].scale.at + lane);
      Store(gain, fits[sign].gain.at + lane);
      Store(cost, fits[sign].qq.at + lane);
    }
  }
}

// Packs the codes of 32 consecutive values: the levels nearest to x / scale.
HWY_INLINE void WriteLevels(const float* x, float inverse_unit, float scale, std::uint8_t* packed) {
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<std::uint8_t, Tag> d8;
  const Vec unit = Set(inverse_unit), inverse = Divide(Set(1), Set(scale));
  Codes codes;
  for (int i = 0; i < kBlock; i += kWidth) {
    const Vec t = hn::Mul(hn::Mul(hn::LoadU(Tag(), x + i), unit), inverse);
    auto code = hn::Zero(di);  // how many boundaries lie below
    for (const float boundary : kBoundaries) {
      code = hn::Sub(code, hn::BitCast(di, hn::VecFromMask(Tag(), hn::Ge(t, Set(boundary)))));
    }
    hn::StoreU(hn::DemoteTo(d8, code), d8, codes.data() + i);
  }
  const auto nibbles = PackNibbles(codes);
  std::copy(nibbles.begin(), nibbles.end(), packed);
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
