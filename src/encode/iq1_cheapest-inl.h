// The cheapest point of IQ1's code book. A third of all combinations of eight levels are points of the book,
// so some combination that is nearly as cheap as the cheapest is a point. The search therefore looks up
// combinations instead of comparing points. A value can be changed twice: to its second level, and on to its
// third. The subsets of the four cheapest changes make sixteen combinations, which are looked up at once.
// Most often the cheapest point is among them.
//
// An example, as if a point had three values: x = (0.9, -0.4, 0.2), weights 1, scale 1, shift 0. A level l
// costs (x - l)^2. A combination is looked up by its code, whose digits to base three are the levels plus
// one.
//
//   value  cheapest  second level         third level
//   0.9     1         0: +0.8, code -1    -1: +2.8, code -1
//   -0.4    0        -1: +0.2, code -3     1: +1.8, code +3
//   0.2     0         1: +0.6, code +9    -1: +1.4, code -9
//
// The cheapest combination is (1, 0, 0), with code 2 + 3 + 9 = 14. Subsets of the changes, by cost:
//
//   changes    combination   cost   look up
//   none       ( 1,  0, 0)   +0     14
//   -3         ( 1, -1, 0)   +0.2   14 - 3 = 11
//   +9         ( 1,  0, 1)   +0.6   14 + 9 = 23
//   -3, +9     ( 1, -1, 1)   +0.8   14 - 3 + 9 = 20
//   ...
//
// The table has a point's index or -1. The first combination in this order that is a point is the answer,
// unless a change that was left out costs less. Then LookFurther tries four more changes.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_IQ1_CHEAPEST_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_IQ1_CHEAPEST_INL_H_
#undef LONGSPAN_ENCODE_IQ1_CHEAPEST_INL_H_
#else
#define LONGSPAN_ENCODE_IQ1_CHEAPEST_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "encode/iq_books.h"
#include "tensor/iq_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A combination and what it costs beyond the cheapest; or what a change of one value to its next level adds
// to both. (Where 0 is the cheapest level, one change leads to each side, and both together lead back to 0.
// Elsewhere the second level is 0, and the third alone leads to 0 too. These detours cost more, so no search
// takes them.)
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

// The cheapest point among the subsets of four changes to a combination, as a key that sorts by cost; or
// kNoPoint. The lowest bits of the key are the index of the point in `points`.
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

inline constexpr int kChanges = 2 * kOctet;
// Keys are costs with the index of a change in their lowest bits.
struct Changes {
  alignas(64) std::array<std::int32_t, kChanges> keys, codes;

  Change Get(int i) const {
    const std::int32_t index = keys[i] % kChanges;
    return {std::bit_cast<float>(keys[i] - index), codes[index]};
  }
};

// Used where the four cheapest changes do not suffice: tries combinations with four more.
HWY_NOINLINE int LookFurther(const Change& cheapest, Changes& changes,
                             const std::array<Change, kVaried>& first, std::int32_t least, int found) {
  std::partial_sort(changes.keys.begin() + kVaried, changes.keys.begin() + 2 * kVaried, changes.keys.end());
  alignas(64) std::array<std::int32_t, kSubsets> points;
  for (unsigned subset = 1; subset < kSubsets; ++subset) {
    Change start = cheapest;
    for (int i = 0; i < kVaried; ++i) {
      if ((subset >> i & 1) != 0) start += changes.Get(kVaried + i);
    }
    if (std::bit_cast<std::int32_t>(start.cost) >= least) continue;
    const std::int32_t key = CheapestOfSubsets(start, first, points);
    if (key >= least) continue;
    least = key;
    found = points[key % kSubsets];
  }
  // The combination of zeros is a point, whatever it costs.
  return least == kNoPoint ? kPointsOfCombinations[kNoChanges] : found;
}

// The cheapest point for values with weights `w` and products w x. Its levels are -1, 0 and 1, moved by
// `shift`, all times `scale`.
HWY_INLINE int CheapestPointIQ1(const float* w, const float* wx, float scale, float shift) {
  const hn::CappedTag<float, kOctet> d;
  const hn::RebindToSigned<decltype(d)> di;
  alignas(32) static constexpr std::array<float, kOctet> kDigits{1, 3, 9, 27, 81, 243, 729, 2187};
  Changes changes;
  unsigned down = 0, up = 0;  // the values whose cheapest level is -1, 1
  auto next = hn::Set(di, kNoPoint);
  for (int i = 0; i < kOctet; i += static_cast<int>(hn::MaxLanes(d))) {
    const auto ws = hn::Mul(hn::Load(d, w + i), hn::Set(d, scale * scale));
    const auto wxs = hn::Mul(hn::Load(d, wx + i), hn::Set(d, 2 * scale));
    // How much more the levels -1 and 1 cost than 0. At most one of them is cheaper, and then 0 comes second.
    // The third level costs most: it lies beyond the second one or, if 0 is the cheapest, on the other side
    // of 0, even if both cost the same. So no combination is beyond the table.
    const auto low = hn::Add(hn::Mul(ws, hn::Set(d, 1 - 2 * shift)), wxs);
    const auto high = hn::Sub(hn::Mul(ws, hn::Set(d, 1 + 2 * shift)), wxs);
    const auto mask = [&](auto costs) {
      std::array<std::uint8_t, 8> bits{};
      hn::StoreMaskBits(d, hn::Lt(costs, hn::Zero(d)), bits.data());
      return unsigned{bits[0]} << i;
    };
    down |= mask(low);
    up |= mask(high);
    const auto digits = hn::Load(d, kDigits.data() + i);
    const auto is_lower = hn::Lt(low, high);
    const auto second = hn::IfThenElse(is_lower, hn::Neg(low), high);
    const auto third = hn::Max(hn::Max(low, high), hn::Zero(d));
    const auto key = [&](auto cost, int index) {
      return hn::Or(hn::AndNot(hn::Set(di, kChanges - 1), hn::BitCast(di, cost)), hn::Iota(di, index));
    };
    const auto further = key(third, kOctet + i);
    next = hn::Min(next, further);
    hn::Store(key(hn::Abs(second), i), di, changes.keys.data() + i);
    hn::Store(further, di, changes.keys.data() + kOctet + i);
    hn::Store(hn::ConvertTo(di, hn::CopySign(digits, second)), di, changes.codes.data() + i);
    hn::Store(hn::ConvertTo(di, hn::IfThenElse(is_lower, digits, hn::Neg(digits))), di,
              changes.codes.data() + kOctet + i);
  }
  const Change cheapest{0, kNoChanges + kSumsOfDigits[up] - kSumsOfDigits[down]};

  // The four smallest keys of the first eight come first. Compilers would branch for std::min, and such
  // branches cannot be predicted.
  auto& keys = changes.keys;
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
  std::array<Change, kVaried> first;
  for (int i = 0; i < kVaried; ++i) first[i] = changes.Get(i);
  alignas(64) std::array<std::int32_t, kSubsets> points;
  const std::int32_t least = CheapestOfSubsets(cheapest, first, points);
  const int found = points[least % kSubsets];
  const std::int32_t fifth = std::min(std::min(keys[4], keys[5]), std::min(keys[6], keys[7]));
  if (least <= std::min(fifth, hn::GetLane(hn::MinOfLanes(di, next)))) return found;
  return LookFurther(cheapest, changes, first, least, found);
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_ENCODE_IQ1_CHEAPEST_INL_H_
