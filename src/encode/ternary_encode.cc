// TQ1_0 and TQ2_0: x ~ d q, q in {-1, 0, 1}. For a given d, the codes of least error are the signs of the
// values above d / 2 in magnitude. For given codes, the d of least error is the weighted mean of the
// magnitudes that are not dropped. With S for these magnitudes, the error is then less than that of zeros by
// (sum over S of w |x|)^2 / (sum over S of w). So the search is for one number, the threshold. A few are
// tried, and the best is improved by applying the two facts alternately. Rows that are ternary already keep
// their values, because then every threshold gives the same S.
#include "encode/block_encode.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/ternary_encode.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <cstring>

#include "encode/block_pack.h"
#include "encode/block_scale.h"
#include "encode/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

struct Magnitudes {
  alignas(64) float values[kSuperBlock];   // in units of `unit`
  alignas(64) float weights[kSuperBlock];  // if there are importances
  float unit, largest;
};

// Sums over the magnitudes above a threshold.
struct Kept {
  float values = 0, weights = 0;  // w |x|, w

  float scale() const { return weights > 0 ? values / weights : 0; }
  float gain() const { return values * scale(); }
};

constexpr int kSumLanes = 32;  // enough additions at a time that none waits for another

template <bool kWeighted>
Kept KeepAbove(const Magnitudes& m, float threshold) {
  Vec values[kParts<kSumLanes>], weights[kParts<kSumLanes>];
  std::size_t count = 0;
  for (int p = 0; p < kParts<kSumLanes>; ++p) values[p] = weights[p] = Zero();
  for (int i = 0; i < kSuperBlock; i += kSumLanes) {
    for (int p = 0; p < kParts<kSumLanes>; ++p) {
      const Vec x = Load(m.values + i + kWidth * p);
      const Mask above = hn::Gt(x, Set(threshold));
      if constexpr (kWeighted) {
        const Vec w = Load(m.weights + i + kWidth * p);
        values[p] = hn::Add(values[p], hn::IfThenElseZero(above, hn::Mul(w, x)));
        weights[p] = hn::Add(weights[p], hn::IfThenElseZero(above, w));
      } else {
        values[p] = hn::Add(values[p], hn::IfThenElseZero(above, x));
        count += hn::CountTrue(Tag(), above);
      }
    }
  }
  return {SumOf(values), kWeighted ? SumOf(weights) : static_cast<float>(count)};
}

// Thresholds, as multiples of the mean magnitude. kOfMean is about the best for a normal distribution. The
// others are tried too if the largest magnitude is above kLongTail, which is rare in one.
constexpr float kOfMean = 0.76f, kLongTail = 5;
constexpr float kOfMeanForTails[] = {1.4f, 3, 8};
constexpr int kTurns = 2;

template <bool kWeighted>
float FitTernary(const Magnitudes& m) {
  const float mean = KeepAbove<kWeighted>(m, -1).scale();
  Kept best = KeepAbove<kWeighted>(m, kOfMean * mean);
  if (m.largest > kLongTail * mean) {
    for (const float of_mean : kOfMeanForTails) {
      const Kept kept = KeepAbove<kWeighted>(m, of_mean * mean);
      if (kept.gain() > best.gain()) best = kept;
    }
  }
  // A turn never makes it worse.
  for (int turn = 0; turn < kTurns; ++turn) best = KeepAbove<kWeighted>(m, best.scale() / 2);
  return best.scale();
}

// The nearest codes, with 1 added.
PackedHalf TernaryCodes(const float* from, const float* importance, SuperCodes& codes) {
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<std::uint8_t, Tag> d8;
  Magnitudes m;
  m.largest = LargestOf(from, kSuperBlock);
  m.unit = PowerOfTwo(m.largest);
  m.largest /= m.unit;
  LoadMagnitudes(from, kSuperBlock, m.unit, m.values);
  float scale;
  const float most = importance != nullptr ? LargestOf(importance, kSuperBlock) : 0;
  if (most > 0) {
    LoadMagnitudes(importance, kSuperBlock, PowerOfTwo(most), m.weights);
    scale = FitTernary<true>(m);
  } else {
    scale = FitTernary<false>(m);
  }
  const PackedHalf d = PackScale(scale, m.unit);
  const Vec threshold = Set(scale / 2), one = Set(1);
  for (int i = 0; i < kSuperBlock; i += kWidth) {
    const Vec sign = hn::CopySign(one, hn::LoadU(Tag(), from + i));
    const Vec code = hn::IfThenElseZero(hn::Gt(Load(m.values + i), threshold), sign);
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(di, hn::Add(code, one))), d8, codes.data() + i);
  }
  return d;
}

// The byte of five codes (see UnpackTrit), which are given as a number below 243: 256 / 243 of the number,
// rounded up. That is the number plus 13 / 243 of it, rounded up. It is computed with the inverse of 243,
// because vectors cannot divide.
constexpr std::uint8_t TritByte(std::uint8_t number) {
  const auto little = static_cast<std::uint16_t>(13 * number + 242);
  return static_cast<std::uint8_t>(number + (static_cast<std::uint32_t>(little) * 4316 >> 16 >> 4));
}
static_assert([] {
  for (int i = 0; i < 243; ++i) {
    if (TritByte(static_cast<std::uint8_t>(i)) != (i * 256 + 242) / 243) return false;
  }
  return true;
}());

// Packs kBytes bytes of kDigits codes each. All first codes come before all second ones.
template <int kBytes, int kDigits>
void PackTrits(const std::uint8_t* codes, std::uint8_t* packed) {
  std::array<std::uint8_t, kBytes> numbers{};
  for (int n = 0; n < 5; ++n) {
    for (int i = 0; i < kBytes; ++i) {
      numbers[i] = static_cast<std::uint8_t>(3 * numbers[i] + (n < kDigits ? codes[kBytes * n + i] : 0));
    }
  }
  for (int i = 0; i < kBytes; ++i) packed[i] = TritByte(numbers[i]);
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

Encoder FindTernary(Type type) {
  switch (type) {
    case Type::kTQ1_0: return WriteTQ1_0;
    case Type::kTQ2_0: return WriteTQ2_0;
    default: return nullptr;
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FindTernary);

Encoder FindTernaryEncoder(Type type) { return HWY_DYNAMIC_DISPATCH(FindTernary)(type); }

}  // namespace longspan
#endif
