// Sums over consecutive values, for encoders that have a quantised block's values side by side in vectors. A
// sum runs in a fixed number of lanes, however many a vector has, and these are added in one order. So it is
// the same on every instruction set.
#if defined(LONGSPAN_ENCODE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_SUMS_INL_H_
#undef LONGSPAN_ENCODE_SUMS_INL_H_
#else
#define LONGSPAN_ENCODE_SUMS_INL_H_
#endif

#include "encode/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// The vectors that hold kLanes running sums.
template <int kLanes>
inline constexpr int kParts = kLanes / kWidth;

template <std::size_t kCount>
HWY_INLINE float SumOf(Vec (&parts)[kCount]) {
  for (std::size_t half = kCount / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) parts[i] = hn::Add(parts[i], parts[i + half]);
  }
  return hn::GetLane(hn::SumOfLanes(Tag(), parts[0]));  // adds halves, too
}

// The largest magnitude of `count` values, a multiple of 64.
HWY_INLINE float LargestOf(const float* x, int count) {
  Vec largest[4] = {Zero(), Zero(), Zero(), Zero()};
  for (int i = 0; i < count; i += 4 * kWidth) {
    for (int j = 0; j < 4; ++j)
      largest[j] = hn::Max(largest[j], hn::Abs(hn::LoadU(Tag(), x + i + kWidth * j)));
  }
  const Vec pairs = hn::Max(hn::Max(largest[0], largest[1]), hn::Max(largest[2], largest[3]));
  return hn::GetLane(hn::MaxOfLanes(Tag(), pairs));
}

// to = |from| / unit, a power of two.
HWY_INLINE void LoadMagnitudes(const float* from, int count, float unit, float* to) {
  const Vec inverse = Set(1 / unit);
  for (int i = 0; i < count; i += kWidth)
    Store(hn::Abs(hn::Mul(hn::LoadU(Tag(), from + i), inverse)), to + i);
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
