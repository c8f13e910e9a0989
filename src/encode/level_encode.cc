// IQ4_NL and IQ4_XS. The second quantises twice: values to levels, and the sub-blocks' scales to small
// integers. First, each sub-block is fitted alone. Then the block's scale is chosen among many as the one
// whose multiples come nearest to the sub-blocks' scales. Then each sub-block gets the multiple of least
// error, as a reader will decode it. Finally the block's scale is fitted to all that was chosen, and the
// multiples are chosen again.
#include "encode/block_encode.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/level_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <cmath>
#include <cstring>

#include "encode/block_scale.h"
#include "encode/level_fit-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// An F16 below 2^-14 is a multiple of 2^-24. This rounds to the nearest one, in units of `unit`, because
// PackScale would round up. A scale that is not zero stays so.
HWY_INLINE Vec NearestHalf(Vec scale, float unit) {
  const Vec step = Set(0x1p-24f / unit), steps = hn::Max(hn::Round(hn::Div(hn::Abs(scale), step)), Set(1));
  const Mask coarse = hn::And(hn::Lt(hn::Abs(scale), Set(0x1p-14f / unit)), hn::Ne(scale, Zero()));
  return hn::IfThenElse(coarse, hn::CopySign(hn::Mul(steps, step), scale), scale);
}
HWY_INLINE float NearestHalf(float scale, float unit) { return hn::GetLane(NearestHalf(Set(scale), unit)); }

void WriteIQ4_NL(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  const auto write = [](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<kBlock> group;
    LoadGroup(x, weights, 1, group);
    LevelFit fits[2];
    FitLevels(group, fits);
    for (int i = 0; i < blocks; ++i) {
      const LevelFit& fit = fits[fits[1].gain[i] > fits[0].gain[i] ? 1 : 0];
      float scale = NearestHalf(fit.scale[i], group.unit[i]);
      BlockIQ4_NL block;
      block.d = PackScale(scale, group.unit[i]);
      WriteLevels(x + kBlock * i, group.inverse_unit[i], scale, block.q.data());
      std::memcpy(out + sizeof(block) * i, &block, sizeof(block));
    }
  };
  ForEachGroup<kBlock, BlockIQ4_NL, 1>(from, importance, to, elements, write);
}

constexpr int kSubs = kSuperBlock / kBlock;    // sub-blocks of a block
constexpr int kBlocks = kGroup / kSubs;        // blocks of a group
constexpr float kLowest = -32, kHighest = 31;  // multiples of a block's scale
constexpr int kNear = 4;                       // multiples tried on each side of the wanted one
constexpr int kDivisions = 32;                 // fractions of the largest scale that a block's scale may be

// The block's scale, among those that F16 holds, whose multiples come nearest to the scales of its
// sub-blocks. These begin at `first`.
float CommonScale(const LevelFit (&fits)[2], int first, float unit) {
  float wanted[kSubs], cost[kSubs], largest = 0;
  for (int i = 0; i < kSubs; ++i) {
    const LevelFit& fit = fits[fits[1].gain[first + i] > fits[0].gain[first + i] ? 1 : 0];
    wanted[i] = fit.scale[first + i];
    cost[i] = fit.qq[first + i];
    if (std::abs(wanted[i]) > std::abs(largest)) largest = wanted[i];
  }
  if (largest == 0) return 0;
  float best = 0, best_error = INFINITY;
  for (const float direction : {-1.0f, 1.0f}) {
    for (int division = 0; division < kDivisions; division += kGroup) {
      Lanes scales, errors;
      for (int lane = 0; lane < kGroup; lane += kWidth) {
        // The largest scale becomes a multiple between 32.5 and 18.5.
        const Vec step = hn::Iota(Tag(), static_cast<float>(division + lane));
        const Vec multiple = hn::Sub(Set(32.5f), hn::Mul(step, Set(14.0f / kDivisions)));
        const Vec scale = NearestHalf(hn::Div(Set(direction * largest), multiple), unit),
                  inverse = hn::Div(Set(1), scale);
        Vec error = Zero();
        for (int i = 0; i < kSubs; ++i) {
          const Vec nearest = hn::Round(hn::Mul(Set(wanted[i]), inverse));
          const Vec miss =
              hn::Sub(Set(wanted[i]), hn::Mul(scale, hn::Clamp(nearest, Set(kLowest), Set(kHighest))));
          error = hn::Add(error, hn::Mul(Set(cost[i]), hn::Mul(miss, miss)));
        }
        Store(scale, scales.at + lane);
        Store(error, errors.at + lane);
      }
      for (int i = 0; i < kGroup; ++i) {
        if (errors[i] < best_error) {
          best_error = errors[i];
          best = scales[i];
        }
      }
    }
  }
  return best;
}

// What is chosen for each sub-block once its block's scale is fixed.
struct Multiples {
  Lanes multiple, gain;
  Lanes xq, qq;  // LevelSums
};

// Chooses the multiples of `scale`, one for each lane, that leave the least error, among those near the
// fitted scales of either sign.
void ChooseMultiples(const Group<kBlock>& group, const LevelFit (&fits)[2], const Lanes& scale,
                     Multiples& chosen) {
  const NearestLevel nearest;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec d = Load(scale.at + lane), per_d = Divide(Set(1), d);
    Vec multiple = Zero(), gain = Zero(), xq = Zero(), qq = Zero();
    for (const LevelFit& fit : fits) {
      const Vec centre = hn::Round(hn::Mul(Load(fit.scale.at + lane), per_d));
      for (int near = -kNear; near <= kNear; ++near) {
        const Vec tried =
            hn::Clamp(hn::Add(centre, Set(static_cast<float>(near))), Set(kLowest), Set(kHighest));
        const Vec tried_scale = hn::Mul(d, tried);
        const LevelSums sums = MeasureLevels(group, lane, Divide(Set(1), tried_scale), nearest);
        const Vec twice = hn::Add(sums.xq, sums.xq);
        const Vec tried_gain = hn::Mul(tried_scale, hn::Sub(twice, hn::Mul(tried_scale, sums.qq)));
        const Mask better = hn::Gt(tried_gain, gain);
        multiple = hn::IfThenElse(better, tried, multiple);
        gain = hn::IfThenElse(better, tried_gain, gain);
        xq = hn::IfThenElse(better, sums.xq, xq);
        qq = hn::IfThenElse(better, sums.qq, qq);
      }
    }
    Store(multiple, chosen.multiple.at + lane);
    Store(gain, chosen.gain.at + lane);
    Store(xq, chosen.xq.at + lane);
    Store(qq, chosen.qq.at + lane);
  }
}

struct Choice {
  PackedHalf d;
  float scale = 0;  // as decoded, in the block's units
  float gain = -1;
  std::array<float, kSubs> multiples{};
};

// Chooses the better of a first guess and its least-squares successor, for the blocks of a group.
void ChooseBlocks(const Group<kBlock>& group, const LevelFit (&fits)[2], Choice (&best)[kBlocks]) {
  Choice tried[kBlocks];
  for (int i = 0; i < kBlocks; ++i) tried[i].scale = CommonScale(fits, kSubs * i, group.unit[kSubs * i]);
  for (int round = 0; round < 2; ++round) {
    Lanes scale;
    for (int i = 0; i < kBlocks; ++i) {
      tried[i].scale = NearestHalf(tried[i].scale, group.unit[kSubs * i]);
      tried[i].d = PackScale(tried[i].scale, group.unit[kSubs * i]);
      std::fill_n(scale.at + kSubs * i, kSubs, tried[i].scale);
    }
    Multiples chosen;
    ChooseMultiples(group, fits, scale, chosen);
    for (int i = 0; i < kBlocks; ++i) {
      float gain = 0, xq = 0, qq = 0;
      for (int j = kSubs * i; j < kSubs * (i + 1); ++j) {
        gain += chosen.gain[j];
        xq += chosen.multiple[j] * chosen.xq[j];
        qq += chosen.multiple[j] * chosen.multiple[j] * chosen.qq[j];
      }
      if (gain > best[i].gain) {
        best[i] = {tried[i].d, tried[i].scale, gain, {}};
        std::copy_n(chosen.multiple.at + kSubs * i, kSubs, best[i].multiples.begin());
      }
      if (qq > 0) tried[i].scale = xq / qq;
    }
  }
}

void WriteIQ4_XS(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  const auto write = [](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<kBlock> group;
    LoadGroup(x, weights, kSubs, group);
    LevelFit fits[2];
    FitLevels(group, fits);
    Choice choice[kBlocks];
    ChooseBlocks(group, fits, choice);
    for (int i = 0; i < blocks; ++i) {
      std::array<int, kSubs> scales;
      BlockIQ4_XS block;
      block.d = choice[i].d;
      for (int j = 0; j < kSubs; ++j) {
        const float multiple = choice[i].multiples[j];
        scales[j] = static_cast<int>(multiple);
        WriteLevels(x + kSuperBlock * i + kBlock * j, group.inverse_unit[kSubs * i],
                    choice[i].scale * multiple, block.q.data() + 16 * j);
      }
      block.SetScales(scales);
      std::memcpy(out + sizeof(block) * i, &block, sizeof(block));
    }
  };
  ForEachGroup<kBlock, BlockIQ4_XS, kSubs>(from, importance, to, elements, write);
}

}  // namespace

Encoder FindLevel(Type type) {
  switch (type) {
    case Type::kIQ4_NL: return WriteIQ4_NL;
    case Type::kIQ4_XS: return WriteIQ4_XS;
    default: return nullptr;
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FindLevel);

Encoder FindLevelEncoder(Type type) { return HWY_DYNAMIC_DISPATCH(FindLevel)(type); }

}  // namespace longspan
#endif
