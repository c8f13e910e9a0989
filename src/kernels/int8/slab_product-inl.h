// One group of a slab: what its columns add to products of rows of x with strips of weights.
#if defined(LONGSPAN_KERNELS_INT8_SLAB_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_SLAB_PRODUCT_INL_H_
#undef LONGSPAN_KERNELS_INT8_SLAB_PRODUCT_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_SLAB_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <utility>

#include "kernels/int8/codes-inl.h"
#include "kernels/int8/dots-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "kernels/int8/strips-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC push_options
#pragma GCC target("avx512vnni")  // as in dots-inl.h
#endif
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

// The scales and minima of one slab of a strip.
template <class W>
struct SlabScales {
  static constexpr int kScales = RoundedRows::kSlab / W::kGroup;
  // [kScales, kLanes]
  HWY_ALIGN float scales[kScales * kLanes];
  HWY_ALIGN float minima[W::kMinima ? kScales * kLanes : kLanes];

  SlabScales(const Slab& slab, std::int64_t groups) { W::Scales(slab, groups, scales, minima); }
};

// The data of one row of x for a slab.
struct RoundedRow {
  const std::int8_t* codes;            // [kSlab]
  const float *scales, *sums;          // [kGroups]
  const std::int32_t *minus, *halves;  // [kGroups], [2 * kGroups]

  RoundedRow(const RoundedRows& x, std::int64_t slab, std::int64_t i) {
    const std::size_t at = x.at(slab, i);
    codes = x.codes.data() + at * RoundedRows::kSlab;
    scales = x.scales.data() + at * RoundedRows::kGroups;
    sums = x.sums.data() + at * RoundedRows::kGroups;
    minus = x.minus_sums.data() + at * RoundedRows::kGroups;
    halves = x.minus_halves.data() + at * 2 * RoundedRows::kGroups;
  }

  // For row r after this one and the weight's scale `group`: minus the sum of the codes that share the scale,
  // and the sum of the values that they stand for.
  template <class W>
  HWY_INLINE std::int32_t MinusSum(int r, std::int64_t group) const {
    return W::kGroup == 32 ? minus[r * RoundedRows::kGroups + group]
                           : halves[r * 2 * RoundedRows::kGroups + group];
  }
  template <class W>
  HWY_INLINE float Sum(int r, std::int64_t group) const {
    if constexpr (W::kGroup == 32)
      return sums[r * RoundedRows::kGroups + group];
    else
      return -Scale<W>(r, group) * static_cast<float>(halves[r * 2 * RoundedRows::kGroups + group]);
  }
  template <class W>
  HWY_INLINE float Scale(int r, std::int64_t group) const {
    return scales[r * RoundedRows::kGroups + group * W::kGroup / 32];
  }
};

constexpr int Log2(int n) { return n <= 1 ? 0 : 1 + Log2(n / 2); }
// Takes the offset off: `minus_sum` is minus the sum of the activations' codes.
template <class W>
HWY_INLINE IntVec WithoutOffset(std::int32_t minus_sum) {
  return hn::ShiftLeft<Log2(W::kOffset)>(hn::Set(IntTag(), minus_sum));
}
// Signed codes have no offset to take off.
template <class W>
inline constexpr bool kHasOffset = W::kOffset > 0 && (kVnni || W::kLargest < 255);

// Adds or stores the first `count` lanes.
HWY_INLINE void WriteOutputs(FloatVec v, std::int64_t count, bool add, float* to) {
  const FloatTag d;
  if (count >= kLanes) return hn::StoreU(add ? hn::Add(hn::LoadU(d, to), v) : v, d, to);
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, d, lanes);
  for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i] + (add ? to[i] : 0.0f);
}

// sum [kRows][kStrips] += what the columns that share scale `group` add, in the one order that all paths
// keep: first the dots, then the minima. codes(s, step) are words of strip s, from the group's first on.
template <class W, int kRows, int kStrips, class Codes>
HWY_INLINE void AddGroup(const RoundedRow& x, std::int64_t group, Codes&& codes,
                         const float* const (&scales)[kStrips], const float* const (&minima)[kStrips],
                         FloatVec (&sum)[kRows][kStrips]) {
  const FloatTag d;
  IntVec dot[kRows][kStrips];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    IntVec start = hn::Zero(IntTag());
    if constexpr (kHasOffset<W>) start = WithoutOffset<W>(x.template MinusSum<W>(r, group));
#pragma GCC unroll 2
    for (int s = 0; s < kStrips; ++s) dot[r][s] = start;
  }
  DotWords<W, kRows, kStrips, W::kGroup / 4>(x.codes + group * W::kGroup, codes, dot);
#pragma GCC unroll 2
  for (int s = 0; s < kStrips; ++s) {
    const FloatVec scale = hn::Load(d, scales[s] + group * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const FloatVec both = hn::Mul(scale, hn::Set(d, x.template Scale<W>(r, group)));
      sum[r][s] = hn::MulAdd(hn::ConvertTo(d, dot[r][s]), both, sum[r][s]);
    }
    if constexpr (W::kMinima) {
      const FloatVec minimum = hn::Load(d, minima[s] + group * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r)
        sum[r][s] = hn::NegMulAdd(minimum, hn::Set(d, x.template Sum<W>(r, group)), sum[r][s]);
    }
  }
}

// Calls f(g, codes) for the codes of each 32 columns of a slab.
template <class W, class F>
HWY_INLINE void ForEachGroup(const Slab& slab, std::int64_t groups, F&& f) {
  if constexpr (W::kElements == 32) {
    for (std::int64_t g = 0; g < groups; ++g) {
      WordVec codes[8];
      W::Codes(slab.words + g * W::kWords * kLanes, g, codes);
      f(g, codes);
    }
  } else {
    const auto group = [&](auto g) __attribute__((always_inline)) {
      WordVec codes[8];
      W::Codes(slab.words, g, codes);
      f(g.value, codes);
    };
    [&]<int... kG>(std::integer_sequence<int, kG...>) __attribute__((always_inline)) {
      (group(std::integral_constant<int, kG>()), ...);
    }
    (std::make_integer_sequence<int, RoundedRows::kGroups>());
  }
}
// How many lines to ask for in each of `parts` parts of the work on a slab of `strips` strips, so that all
// parts together ask for as much.
template <class W>
constexpr int Lines(std::int64_t strips, std::int64_t parts) {
  return static_cast<int>(strips * Strips<W>::kSlabBytes / (std::int64_t{kCacheLine} * parts)) + 1;
}

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
#if HWY_TARGET <= HWY_AVX3_DL
#pragma GCC pop_options
#endif
HWY_AFTER_NAMESPACE();

#endif
