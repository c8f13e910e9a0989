// MXFP4: the only choice is a block's scale, a power of two. The standard takes the one that brings the
// largest value among the highest levels; its neighbours often leave less error.
#include "encode/block_encode.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/mxfp4_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "encode/block_pack.h"
#include "encode/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// The magnitude of the level nearest to a number that is not negative. From 2 on, levels are floats with one
// bit of mantissa; below 2 they are integers. Adding 2^23 times their distance rounds to that distance.
HWY_INLINE Vec NearestMagnitude(Vec a) {
  const hn::RebindToUnsigned<Tag> du;
  const Vec kept = hn::Min(a, Set(12));
  const auto exponent = hn::And(hn::BitCast(du, hn::Max(kept, Set(2))), hn::Set(du, 0x7f800000));
  const Vec coarse = hn::BitCast(Tag(), hn::Add(exponent, hn::Set(du, 22u << 23)));
  return hn::Sub(hn::Add(kept, coarse), coarse);
}

// 2 to the power of an integer, and the integer part of a logarithm to base 2. Both serve only the range that
// a block of numbers near 1 needs.
HWY_INLINE Vec PowerOfTwo(Vec exponent) {
  const hn::RebindToSigned<Tag> di;
  return hn::BitCast(Tag(), hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, exponent), hn::Set(di, 127))));
}
HWY_INLINE Vec Exponent(Vec x) {
  const hn::RebindToSigned<Tag> di;
  const auto stored = hn::ShiftRight<23>(hn::BitCast(di, hn::Max(x, Set(0x1p-30f))));
  return hn::ConvertTo(Tag(), hn::Sub(stored, hn::Set(di, 127)));
}

// Packs the codes of 32 consecutive values: the levels nearest to x / scale.
HWY_INLINE void WriteFloats(const float* x, float inverse_unit, float inverse_scale, std::uint8_t* packed) {
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<std::uint8_t, Tag> d8;
  Codes codes;
  for (int i = 0; i < kBlock; i += kWidth) {
    const Vec t = hn::Mul(hn::Mul(hn::LoadU(Tag(), x + i), Set(inverse_unit)), Set(inverse_scale));
    const Vec level = NearestMagnitude(hn::Abs(t));
    // Levels below 2 are their own codes. From 2 on, codes count floats of one bit of mantissa.
    const auto counted = hn::Sub(hn::ShiftRight<22>(hn::BitCast(di, level)), hn::Set(di, (128 << 1) - 2));
    const auto code = hn::Max(counted, hn::ConvertTo(di, hn::Min(level, Set(1))));
    // A zero has no sign.
    const auto sign = hn::And(hn::ShiftRight<31>(hn::BitCast(di, t)), hn::Set(di, 8));
    const auto kept = hn::IfThenElseZero(hn::Gt(code, hn::Zero(di)), sign);
    hn::StoreU(hn::DemoteTo(d8, hn::Or(code, kept)), d8, codes.data() + i);
  }
  const auto nibbles = PackNibbles(codes);
  std::copy(nibbles.begin(), nibbles.end(), packed);
}

// Scales that are tried, in halvings of the block's unit, the power of two not above its largest value. After
// the standard's three, that value lies between 8 and 16, and the highest level is 12.
constexpr float kStandardHalvings = 3;
// If values differ in importance, the largest may not be the one that the scale should suit. Then the
// halvings after which the root mean square lies between 4 and 8 are tried too. It mostly lies there when the
// standard's choice is right.
constexpr float kSpreadHalvings = 2;

// Finds how often the unit must be halved for the least error, a number for each lane.
template <bool kWeighted>
void FitHalvings(const Group<kBlock>& group, Lanes& halvings) {
  for (int lane = 0; lane < kGroup; lane += kWidth) {
    Vec best = Set(kStandardHalvings), least = Set(INFINITY);
    const auto consider = [&](Vec tried) {
      const Vec inverse = PowerOfTwo(tried), scale = PowerOfTwo(hn::Neg(tried));
      Vec error = Zero();
      for (int i = lane; i < kBlock * kGroup; i += kGroup) {
        const Vec t = hn::Mul(hn::Abs(Load(group.x + i)), inverse);
        const Vec miss = hn::Sub(t, NearestMagnitude(t)), square = hn::Mul(miss, miss);
        error = hn::Add(error, kWeighted ? hn::Mul(Load(group.weights + i), square) : square);
      }
      error = hn::Mul(error, hn::Mul(scale, scale));
      const Mask better = hn::Lt(error, least);
      least = hn::IfThenElse(better, error, least);
      best = hn::IfThenElse(better, tried, best);
    };
    for (const float change : {0.0f, -1.0f, 1.0f}) consider(Set(kStandardHalvings + change));
    if constexpr (kWeighted) {
      Vec squares = Zero(), total = Zero();
      for (int i = lane; i < kBlock * kGroup; i += kGroup) {
        const Vec x = Load(group.x + i), w = Load(group.weights + i);
        squares = hn::Add(squares, hn::Mul(hn::Mul(w, x), x));
        total = hn::Add(total, w);
      }
      const Vec exponent = Exponent(hn::Sqrt(Divide(squares, total)));
      consider(hn::Sub(Set(kSpreadHalvings), exponent));
    }
    Store(best, halvings.at + lane);
  }
}

void WriteMXFP4(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  const auto write = [](const float* x, const float* weights, std::byte* out, int blocks) {
    Group<kBlock> group;
    LoadGroup(x, weights, 1, group);
    Lanes halvings;
    weights != nullptr ? FitHalvings<true>(group, halvings) : FitHalvings<false>(group, halvings);
    std::array<BlockMXFP4, kGroup> written;
    for (int i = 0; i < blocks; ++i) {
      const int unit_exponent = static_cast<int>(std::bit_cast<std::uint32_t>(group.unit[i]) >> 23);
      const int exponent = unit_exponent - static_cast<int>(halvings[i]);
      BlockMXFP4& block = written[i];
      // Past 252 the highest level would not be finite.
      block.e = static_cast<std::uint8_t>(std::clamp(exponent + 1, 0, 252));
      WriteFloats(x + kBlock * i, group.inverse_unit[i], group.unit[i] / block.d(), block.q.data());
    }
    std::memcpy(out, written.data(), sizeof(BlockMXFP4) * static_cast<std::size_t>(blocks));
  };
  ForEachGroup<kBlock, BlockMXFP4, 1>(from, importance, to, elements, write);
}

}  // namespace

Encoder FindMxfp4(Type type) { return type == Type::kMXFP4 ? WriteMXFP4 : nullptr; }

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FindMxfp4);

Encoder FindMxfp4Encoder(Type type) { return HWY_DYNAMIC_DISPATCH(FindMxfp4)(type); }

}  // namespace longspan
#endif
