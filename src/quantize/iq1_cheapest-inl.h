// The cheapest point of IQ1's code book. It has a third of all combinations of eight levels, so that one of those
// nearly as cheap as the cheapest combination is a point: combinations are looked up, not points. Tried are the
// cheapest one and all that differ from it by the second level of some values, those first that are cheap to change.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_QUANTIZE_IQ1_CHEAPEST_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_QUANTIZE_IQ1_CHEAPEST_INL_H_
#undef LONGSPAN_QUANTIZE_IQ1_CHEAPEST_INL_H_
#else
#define LONGSPAN_QUANTIZE_IQ1_CHEAPEST_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "quantize/iq_books.h"
#include "tensor/iq_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A combination and what it costs beyond the cheapest; or of a value, what its second level does to both.
struct Change {
  float cost = 0;
  std::int32_t code = 0;

  Change& operator+=(const Change& other) {
    cost += other.cost;
    code += other.code;
    return *this;
  }
};

inline constexpr int kVaried = 4, kSubsets = 1 << kVaried;  // changes whose subsets are looked up at once

// The cheapest point of those that some of four changes make of a combination, in a number that sorts by cost; or
// kNoPoint. The point is `points` of its lowest bits.
constexpr std::int32_t kNoPoint = std::numeric_limits<std::int32_t>::max();
HWY_INLINE std::int32_t CheapestOfSubsets(const Change& from, const std::array<Change, kVaried>& changes,
                                          std::array<std::int32_t, kSubsets>& points) {
  alignas(64) static constexpr auto kMembers = [] {
    std::array<std::array<std::int32_t, kSubsets>, kVaried> members{};
    for (int i = 0; i < kVaried; ++i) {
      for (int s = 0; s < kSubsets; ++s) members[i][s] = -(s >> i & 1);
    }
    return members;
  }();
  const hn::CappedTag<std::int32_t, kSubsets> d;
  const hn::RebindToFloat<decltype(d)> df;
  auto least = hn::Set(d, kNoPoint);
  for (int s = 0; s < kSubsets; s += static_cast<int>(hn::MaxLanes(d))) {
    auto cost = hn::Set(df, from.cost);
    auto code = hn::Set(d, from.code);
    for (int i = 0; i < kVaried; ++i) {
      const auto member = hn::Load(d, kMembers[i].data() + s);
      cost = hn::Add(cost, hn::BitCast(df, hn::And(member, hn::BitCast(d, hn::Set(df, changes[i].cost)))));
      code = hn::Add(code, hn::And(member, hn::Set(d, changes[i].code)));
    }
    const auto point = hn::GatherIndex(d, kPointsOfCombinations.data(), code);
    const auto key = hn::Or(hn::AndNot(hn::Set(d, kSubsets - 1), hn::BitCast(d, cost)), hn::Iota(d, s));
    least = hn::Min(least, hn::IfThenElse(hn::Lt(point, hn::Zero(d)), hn::Set(d, kNoPoint), key));
    hn::Store(point, d, points.data() + s);
  }
  return hn::GetLane(hn::MinOfLanes(d, least));
}

// For values of weights `w` and products w x, levels -1, 0 and 1 moved by `shift`, all times `scale`.
HWY_INLINE int CheapestPointIQ1(const float* w, const float* wx, float scale, float shift) {
  constexpr std::uint32_t kIndex = kOctet - 1;
  const hn::CappedTag<float, kOctet> d;
  const hn::RebindToSigned<decltype(d)> di;
  alignas(32) static constexpr std::array<float, kOctet> kDigits{1, 3, 9, 27, 81, 243, 729, 2187};
  alignas(32) std::array<std::int32_t, kOctet> keys, codes;  // keys are costs, with a value's index below
  std::array<std::uint8_t, 8> down{}, up{};                  // the values whose cheapest level is -1, 1
  for (std::size_t i = 0; i < kOctet; i += hn::MaxLanes(d)) {
    const auto ws = hn::Mul(hn::Load(d, w + i), hn::Set(d, scale * scale));
    const auto wxs = hn::Mul(hn::Load(d, wx + i), hn::Set(d, 2 * scale));
    // What the levels -1 and 1 cost more than 0. At most one of them is cheaper, and then 0 comes second.
    const auto low = hn::Add(hn::Mul(ws, hn::Set(d, 1 - 2 * shift)), wxs);
    const auto high = hn::Sub(hn::Mul(ws, hn::Set(d, 1 + 2 * shift)), wxs);
    const auto is_low = hn::Lt(low, hn::Zero(d)), is_high = hn::Lt(high, hn::Zero(d));
    const auto change = hn::IfThenElse(hn::Lt(hn::Abs(low), hn::Abs(high)), hn::Neg(low), high);
    const auto digit = hn::CopySign(hn::Load(d, kDigits.data() + i), change);
    const auto cost = hn::BitCast(di, hn::Abs(change));
    hn::Store(hn::Or(hn::AndNot(hn::Set(di, kIndex), cost), hn::Iota(di, static_cast<std::int32_t>(i))), di,
              keys.data() + i);
    hn::Store(hn::ConvertTo(di, digit), di, codes.data() + i);
    std::array<std::uint8_t, 8> bits{};
    hn::StoreMaskBits(d, is_low, bits.data());
    down[0] |= static_cast<std::uint8_t>(bits[0] << i);
    hn::StoreMaskBits(d, is_high, bits.data());
    up[0] |= static_cast<std::uint8_t>(bits[0] << i);
  }
  const Change cheapest{0, kNoChanges + kSumsOfDigits[up[0]] - kSumsOfDigits[down[0]]};

  // The four smallest keys come first. Compilers would branch for std::min, and nobody can predict how.
  const auto sort = [&](int a, int b) {
    const std::int32_t less = keys[a] - keys[b], wrong = less & ~(less >> 31);
    keys[a] -= wrong;
    keys[b] += wrong;
  };
  for (int half : {0, 4}) {
    sort(half, half + 1);
    sort(half + 2, half + 3);
    sort(half, half + 2);
    sort(half + 1, half + 3);
    sort(half + 1, half + 2);
  }
  for (int i = 0; i < kVaried; ++i) sort(i, kOctet - 1 - i);
  std::array<Change, kVaried> first, rest;
  const auto change = [&](int i) {
    const std::int32_t index = keys[i] & static_cast<std::int32_t>(kIndex);
    return Change{std::bit_cast<float>(keys[i] - index), codes[index]};
  };
  for (int i = 0; i < kVaried; ++i) {
    first[i] = change(i);
    rest[i] = change(kVaried + i);
  }
  alignas(64) std::array<std::int32_t, kSubsets> points;
  std::int32_t least = CheapestOfSubsets(cheapest, first, points);
  std::int32_t found = points[least % kSubsets];
  const std::int32_t next = std::min(std::min(keys[4], keys[5]), std::min(keys[6], keys[7]));
  if (least <= next) return found;
  for (unsigned subset = 1; subset < kSubsets; ++subset) {
    Change start = cheapest;
    for (int i = 0; i < kVaried; ++i) {
      if ((subset >> i & 1) != 0) start += rest[i];
    }
    const std::int32_t key = CheapestOfSubsets(start, first, points);
    if (key >= least) continue;
    least = key;
    found = points[key % kSubsets];
  }
  return found;
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_QUANTIZE_IQ1_CHEAPEST_INL_H_
