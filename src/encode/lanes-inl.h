// Sixteen sub-blocks side by side: lane j of row i is value i of sub-block j. Every sum over a sub-block then
// runs down a lane, in one order, whatever the width of the machine's vectors; and a product and its sum are
// rounded separately (see CMakeLists.txt). So a file's bytes do not depend on the instruction set.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_LANES_INL_H_
#undef LONGSPAN_ENCODE_LANES_INL_H_
#else
#define LONGSPAN_ENCODE_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "tensor/blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kGroup = 16;  // sub-blocks in a group
using Tag = hn::CappedTag<float, kGroup>;
using Vec = hn::Vec<Tag>;
using Mask = hn::Mask<Tag>;
inline constexpr int kWidth = static_cast<int>(hn::MaxLanes(Tag()));

HWY_INLINE Vec Load(const float* p) { return hn::Load(Tag(), p); }
HWY_INLINE void Store(Vec v, float* p) { hn::Store(v, Tag(), p); }
HWY_INLINE Vec Set(float value) { return hn::Set(Tag(), value); }
HWY_INLINE Vec Zero() { return hn::Zero(Tag()); }
HWY_INLINE Vec Divide(Vec a, Vec b) {  // 0 where b is 0
  return hn::IfThenElseZero(hn::Ne(b, Zero()), hn::Div(a, b));
}

// One number for each sub-block.
struct alignas(64) Lanes {
  float at[kGroup] = {};

  float& operator[](int i) { return at[i]; }
  float operator[](int i) const { return at[i]; }
};

template <int kValues>
struct Group {
  alignas(64) float x[kValues * kGroup];
  alignas(64) float weights[kValues * kGroup];
  Lanes unit, inverse_unit;
};

// Weights that are all 1, in the place of a pointer to weights.
struct NoWeights {
  NoWeights operator+(int) const { return {}; }
};

// The values of row `i` times their weights.
HWY_INLINE Vec Weigh(const float* weights, int i, Vec v) { return hn::Mul(Load(weights + kGroup * i), v); }
HWY_INLINE Vec Weigh(NoWeights, int, Vec v) { return v; }

template <int kValues>
HWY_INLINE Vec SumWeights(const float* weights) {
  Vec sum = Zero();
  for (int i = 0; i < kValues; ++i) sum = hn::Add(sum, Load(weights + kGroup * i));
  return sum;
}
template <int kValues>
HWY_INLINE Vec SumWeights(NoWeights) {
  return Set(kValues);
}

// The weighted sum of squares.
template <int kValues, class Weights>
HWY_INLINE Vec Power(const float* x, Weights weights) {
  Vec sum = Zero();
  for (int i = 0; i < kValues; ++i) {
    const Vec v = Load(x + kGroup * i);
    sum = hn::Add(sum, hn::Mul(Weigh(weights, i, v), v));
  }
  return sum;
}

// The largest power of two that is not above `value`, limited so that its inverse is a normal number. 1 for
// values far below what any type can store.
inline float PowerOfTwo(float value) {
  if (value < 0x1p-60f) return 1;
  return std::bit_cast<float>(std::min(std::bit_cast<std::uint32_t>(value), 0x7e800000u) & 0x7f800000u);
}

// Sets each run of `shared` lanes to the largest of them.
inline void SpreadLargest(Lanes& lanes, int shared) {
  for (int first = 0; first < kGroup; first += shared) {
    float* run = lanes.at + first;
    std::fill_n(run, shared, *std::max_element(run, run + shared));
  }
}

// Sets each run of `shared` lanes to their mean.
inline void SpreadMean(Lanes& lanes, int shared) {
  for (int first = 0; first < kGroup; first += shared) {
    float* run = lanes.at + first;
    float sum = 0;
    for (int i = 0; i < shared; ++i) sum += run[i];
    std::fill_n(run, shared, sum / static_cast<float>(shared));
  }
}

// Transposes kGroup sub-blocks, which lie one after the other at `from`.
template <int kValues>
HWY_INLINE void Transpose(const float* from, float* to, Lanes& largest) {
  const hn::RebindToSigned<Tag> di;
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const auto at = hn::Mul(hn::Iota(di, lane), hn::Set(di, kValues));
    Vec top = Zero();
    for (int i = 0; i < kValues; ++i) {
      const Vec v = hn::GatherIndex(Tag(), from + i, at);
      top = hn::Max(top, hn::Abs(v));
      Store(v, to + kGroup * i + lane);
    }
    Store(top, largest.at + lane);
  }
}

// Loads kGroup sub-blocks. Values are divided by `unit`, a power of two near the largest of each `shared`
// sub-blocks, so that squares neither overflow nor vanish, and nothing is rounded. Weights are the
// importances over the largest of them, or 1 if there are none, so that fits minimise the square error that
// the activations see. A column without importance keeps a small weight, because its codes must still be
// chosen.
template <int kValues>
void LoadGroup(const float* from, const float* importance, int shared, Group<kValues>& group) {
  constexpr float kLeastWeight = 0x1p-20f;
  Lanes largest;
  Transpose<kValues>(from, group.x, largest);
  SpreadLargest(largest, shared);
  for (int i = 0; i < kGroup; ++i) {
    group.unit[i] = PowerOfTwo(largest[i]);
    group.inverse_unit[i] = 1 / group.unit[i];
  }
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec inverse = Load(group.inverse_unit.at + lane);
    for (int i = lane; i < kValues * kGroup; i += kGroup)
      Store(hn::Mul(Load(group.x + i), inverse), group.x + i);
  }
  if (importance == nullptr) {
    std::fill_n(group.weights, kValues * kGroup, 1.0f);
    return;
  }
  Transpose<kValues>(importance, group.weights, largest);
  SpreadLargest(largest, shared);
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    const Vec top = Load(largest.at + lane), least = Set(kLeastWeight);
    const Mask none = hn::Eq(top, Zero());
    for (int i = lane; i < kValues * kGroup; i += kGroup) {
      const Vec weight = hn::Max(hn::Div(Load(group.weights + i), top), least);
      Store(hn::IfThenElse(none, Set(1), weight), group.weights + i);
    }
  }
}

// Calls body(from, importance, to, blocks) with kGroup sub-blocks of a row at a time. The last call for a row
// may have fewer, with zeros after them.
template <int kValues, class Block, int kSubBlocks, class Body>
void ForEachGroup(const float* from, const float* importance, std::byte* to, std::int64_t elements,
                  const Body& body) {
  constexpr int kGroupValues = kValues * kGroup, kBlockValues = kValues * kSubBlocks;
  while (elements > 0) {
    if (elements >= kGroupValues) {
      body(from, importance, to, kGroup / kSubBlocks);
    } else {
      float x[kGroupValues] = {}, weights[kGroupValues] = {};
      std::copy_n(from, elements, x);
      if (importance != nullptr) std::copy_n(importance, elements, weights);
      body(x, importance != nullptr ? weights : nullptr, to, static_cast<int>(elements / kBlockValues));
    }
    from += kGroupValues;
    if (importance != nullptr) importance += kGroupValues;
    to += kGroup / kSubBlocks * sizeof(Block);
    elements -= kGroupValues;
  }
}

// The codes of consecutive values: round((x unit' - offset) / scale) in [low, high], as bytes less `low`.
HWY_INLINE void WriteCodes(const float* x, int count, float inverse_unit, float scale, float offset,
                           float low, float high, std::uint8_t* codes) {
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<std::uint8_t, Tag> d8;
  const Vec inverse = Divide(Set(1), Set(scale)), unit = Set(inverse_unit), origin = Set(offset);
  for (int i = 0; i < count; i += kWidth) {
    const Vec value = hn::Mul(hn::LoadU(Tag(), x + i), unit);
    const Vec code = hn::Clamp(hn::Mul(hn::Sub(value, origin), inverse), Set(low), Set(high));
    const auto whole = hn::Sub(hn::NearestInt(code), hn::Set(di, static_cast<std::int32_t>(low)));
    hn::StoreU(hn::DemoteTo(d8, whole), d8, codes + i);
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
