// Rounding of activations to 8 bits (rounded_rows.h).
#if defined(LONGSPAN_KERNELS_INT8_ROUND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_ROUND_INL_H_
#undef LONGSPAN_KERNELS_INT8_ROUND_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_ROUND_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "kernels/int8/codes-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "tensor/rows.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// Rounds x [32]. Every step is elementwise or exact, so that all instruction sets agree to the bit.
HWY_INLINE void RoundBlock(const float* x, std::int8_t* codes, float* scale, float* sum,
                           std::int32_t* minus_sum, std::int32_t* minus_halves) {
  const FloatTag d;
  const hn::Rebind<std::int8_t, FloatTag> d8;
  FloatVec largest = hn::Zero(d);
  for (std::int64_t i = 0; i < 32; i += kLanes) largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
  const float bound = hn::GetLane(hn::MaxOfLanes(d, largest));
  *scale = bound / 127.0f;
  // Below this the inverse overflows. (What is no number shows in the scale, and is 127 here.)
  constexpr float kLeast = 1e-36f;
  const FloatVec most = hn::Set(d, 127.0f), inverse = hn::Set(d, bound > kLeast ? 127.0f / bound : 0.0f);
  for (int half = 0; half < 2; ++half) {
    IntVec total = hn::Zero(IntTag());
    for (std::int64_t i = 16 * half; i < 16 * (half + 1); i += kLanes) {
      const IntVec code = hn::NearestInt(hn::Min(hn::Mul(hn::LoadU(d, x + i), inverse), most));
      total = hn::Add(total, code);
      hn::StoreU(hn::DemoteTo(d8, code), d8, codes + i);
    }
    minus_halves[half] = -hn::GetLane(hn::SumOfLanes(IntTag(), total));
  }
  *minus_sum = minus_halves[0] + minus_halves[1];
  *sum = *scale * static_cast<float>(-*minus_sum);
}

// Rounds row i in one slab.
inline void RoundSlab(ConstRows x, std::int64_t i, std::int64_t slab, RoundedRows& rounded) {
  constexpr std::int64_t kGroups = RoundedRows::kGroups;
  const std::size_t at = rounded.at(slab, i);
  std::int8_t* codes = rounded.codes.data() + at * RoundedRows::kSlab;
  const std::int64_t groups = rounded.groups(slab);
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::size_t group = at * kGroups + static_cast<std::size_t>(g);
    RoundBlock(&x.at(i, slab * RoundedRows::kSlab + 32 * g), codes + 32 * g, &rounded.scales[group],
               &rounded.sums[group], &rounded.minus_sums[group], &rounded.minus_halves[2 * group]);
  }
  std::memset(codes + 32 * groups, 0, static_cast<std::size_t>(32 * (kGroups - groups)));
}

inline void RoundRows(ConstRows x, RoundedRows& rounded) {
  rounded.Resize(x.rows, x.cols);
  // Tasks of at least 64 slabs of a row, which take longer than their distribution.
  const std::int64_t rows = std::clamp<std::int64_t>(x.rows, 1, 16), slabs = (64 + rows - 1) / rows;
  const std::int64_t across = (rounded.slabs() + slabs - 1) / slabs;
  ParallelFor((x.rows + rows - 1) / rows * across, [&](std::int64_t task) {
    const std::int64_t row = task / across * rows, slab = task % across * slabs;
    for (std::int64_t i = row; i < std::min(x.rows, row + rows); ++i) {
      for (std::int64_t s = slab; s < std::min(rounded.slabs(), slab + slabs); ++s)
        RoundSlab(x, i, s, rounded);
    }
  });
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
