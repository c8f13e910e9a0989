// TQ1_0 and TQ2_0: x ~ d q, q in {-1, 0, 1}. For a given d, the codes of least error are the signs of what is
// above d / 2 in magnitude; for given codes, the d of least error is the weighted mean of the magnitudes that
// are not dropped, S, and the error is then less than that of zeros by (sum over S of w |x|)^2 / (sum over S
// of w). The search is thus for one number, the threshold: a few are tried, and the best is improved by
// taking the two facts in turn. Rows that are ternary already keep their values, for then every threshold
// gives the same S.
#include "quantize/block_encode.h"

#include "kernels/vector/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/ternary_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <cstring>

#include "quantize/block_pack.h"
#include "quantize/block_scale.h"
#include "quantize/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// Sums run in sixteen lanes, however many a vector has, so that every instruction set adds in the same order.
constexpr int kParts = kGroup / kWidth;

float SumOf(Vec (&parts)[kParts]) {
  for (int half = kParts / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) parts[i] = hn::Add(parts[i], parts[i + half]);
  }
  return hn::GetLane(hn::SumOfLanes(Tag(), parts[0]));  // halves it, too
}

struct Magnitudes {
  alignas(64) float values[kSuperBlock];   // in units of `unit`
  alignas(64) float weights[kSuperBlock];  // where there are importances
  float unit, largest;
};

void LoadMagnitudes(const float* from, const float* importance, Magnitudes& m) {
  Vec largest = Zero(), top = Zero();
  for (int i = 0; i < kSuperBlock; i += kWidth)
    largest = hn::Max(largest, hn::Abs(hn::LoadU(Tag(), from + i)));
  m.largest = hn::GetLane(hn::MaxOfLanes(Tag(), largest));
  m.unit = PowerOfTwo(m.largest);
  const float inverse = 1 / m.unit;
  m.largest *= inverse;
  for (int i = 0; i < kSuperBlock; i += kWidth) {
    Store(hn::Abs(hn::Mul(hn::LoadU(Tag(), from + i), Set(inverse))), m.values + i);
  }
  if (importance == nullptr) return;
  for (int i = 0; i < kSuperBlock; i += kWidth) top = hn::Max(top, hn::LoadU(Tag(), importance + i));
  const Vec most = hn::MaxOfLanes(Tag(), top);
  for (int i = 0; i < kSuperBlock; i += kWidth) {
    const Vec weight = hn::Div(hn::LoadU(Tag(), importance + i), most);
    Store(hn::IfThenElse(hn::Gt(most, Zero()), weight, Set(1)), m.weights + i);
  }
}

// Sums over the magnitudes above a threshold.
struct Kept {
  float values = 0, weights = 0;  // w |x|, w

  float scale() const { return weights > 0 ? values / weights : 0; }
  float gain() const { return values * scale(); }
};

template <bool kWeighted, std::size_t kCount>
std::array<Kept, kCount> KeepAbove(const Magnitudes& m, const std::array<float, kCount>& thresholds) {
  Vec values[kCount][kParts], weights[kCount][kParts];
  for (std::size_t t = 0; t < kCount; ++t) {
    for (int p = 0; p < kParts; ++p) values[t][p] = weights[t][p] = Zero();
  }
  for (int i = 0; i < kSuperBlock; i += kGroup) {
    for (int p = 0; p < kParts; ++p) {
      const Vec x = Load(m.values + i + kWidth * p);
      const Vec w = kWeighted ? Load(m.weights + i + kWidth * p) : Set(1);
      const Vec wx = kWeighted ? hn::Mul(w, x) : x;
      for (std::size_t t = 0; t < kCount; ++t) {
        const Mask above = hn::Gt(x, Set(thresholds[t]));
        values[t][p] = hn::Add(values[t][p], hn::IfThenElseZero(above, wx));
        weights[t][p] = hn::Add(weights[t][p], hn::IfThenElseZero(above, w));
      }
    }
  }
  std::array<Kept, kCount> kept;
  for (std::size_t t = 0; t < kCount; ++t) kept[t] = {SumOf(values[t]), SumOf(weights[t])};
  return kept;
}

// Of the largest magnitude. Two at a time, for which registers suffice. The best d is at most the largest
// magnitude, so that no threshold above its half is of use.
constexpr std::array<float, 2> kThresholds[] = {{0.45f, 0.3f}, {0.21f, 0.14f}, {0.07f, 0.02f}};
constexpr int kTurns = 3;

template <bool kWeighted>
float FitTernary(const Magnitudes& m) {
  Kept best;
  const auto consider = [&](const Kept& kept) {
    if (kept.gain() > best.gain()) best = kept;
  };
  for (const auto& [high, low] : kThresholds) {
    for (const Kept& kept : KeepAbove<kWeighted, 2>(m, {m.largest * high, m.largest * low})) consider(kept);
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    const float before = best.scale();
    consider(KeepAbove<kWeighted, 1>(m, {before / 2})[0]);
    if (best.scale() == before) break;
  }
  return best.scale();
}

// The nearest codes, with 1 added.
PackedHalf TernaryCodes(const float* from, const float* importance, SuperCodes& codes) {
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<std::uint8_t, Tag> d8;
  Magnitudes m;
  LoadMagnitudes(from, importance, m);
  float scale = importance != nullptr ? FitTernary<true>(m) : FitTernary<false>(m);
  const PackedHalf d = PackScale(scale, m.unit);
  const Vec threshold = Set(scale / 2), one = Set(1);
  for (int i = 0; i < kSuperBlock; i += kWidth) {
    const Vec sign = hn::CopySign(one, hn::LoadU(Tag(), from + i));
    const Vec code = hn::IfThenElseZero(hn::Gt(Load(m.values + i), threshold), sign);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, hn::Add(code, one))), d8, codes.data() + i);
  }
  return d;
}

// Five codes a byte (see UnpackTrit): the smallest byte whose fraction of 256 is not below theirs of 243.
constexpr std::array<std::uint8_t, 243> kTritBytes = [] {
  std::array<std::uint8_t, 243> bytes{};
  for (int i = 0; i < 243; ++i) bytes[i] = static_cast<std::uint8_t>((i * 256 + 242) / 243);
  return bytes;
}();

// kBytes bytes of kDigits codes each, the first ones all before the second ones.
template <int kBytes, int kDigits>
void PackTrits(const std::uint8_t* codes, std::uint8_t* packed) {
  std::array<std::uint8_t, kBytes> numbers{};
  for (int n = 0; n < 5; ++n) {
    for (int i = 0; i < kBytes; ++i) {
      numbers[i] = static_cast<std::uint8_t>(3 * numbers[i] + (n < kDigits ? codes[kBytes * n + i] : 0));
    }
  }
  for (int i = 0; i < kBytes; ++i) packed[i] = kTritBytes[numbers[i]];
}

void WriteTQ1_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  for (std::int64_t first = 0; first < elements; first += kSuperBlock, to += sizeof(BlockTQ1_0)) {
    SuperCodes codes;
    BlockTQ1_0 block;
    block.d = TernaryCodes(from + first, importance != nullptr ? importance + first : nullptr, codes);
    PackTrits<32, 5>(codes.data(), block.q.data());
    PackTrits<16, 5>(codes.data() + 160, block.q.data() + 32);
    PackTrits<4, 4>(codes.data() + 240, block.high.data());
    std::memcpy(to, &block, sizeof(block));
  }
}

void WriteTQ2_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  for (std::int64_t first = 0; first < elements; first += kSuperBlock, to += sizeof(BlockTQ2_0)) {
    SuperCodes codes;
    BlockTQ2_0 block;
    block.d = TernaryCodes(from + first, importance != nullptr ? importance + first : nullptr, codes);
    block.q = PackBitPairs(codes);
    std::memcpy(to, &block, sizeof(block));
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(WriteTQ1_0);
void EncodeTQ1_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteTQ1_0)(from, to, elements, importance);
}

HWY_EXPORT(WriteTQ2_0);
void EncodeTQ2_0(const float* from, std::byte* to, std::int64_t elements, const float* importance) {
  HWY_DYNAMIC_DISPATCH(WriteTQ2_0)(from, to, elements, importance);
}

}  // namespace longspan
#endif
