// The point of a code book nearest to a few values, under weights. What a point costs is a sum over its
// values of what each value's level costs, so a group's levels are priced once, in bytes, and the points then
// cost four table look-ups and three additions for as many of them at once as a vector has bytes: all points
// are looked at, and no lists of neighbours are needed.
//
// Prices are counted from the cheapest level of each value, which few points can have for all values, in
// units of a 250th of what a point known already costs. Rounding them to integers changes a sum by a percent
// or so.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/vector/targets.h"
// Highway's include order.
#include <hwy/highway.h>

#include "quantize/iq_books.h"
#include "tensor/iq_blocks.h"
#include "tensor/iq_points.h"

#if defined(LONGSPAN_QUANTIZE_IQ_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_QUANTIZE_IQ_SEARCH_INL_H_
#undef LONGSPAN_QUANTIZE_IQ_SEARCH_INL_H_
#else
#define LONGSPAN_QUANTIZE_IQ_SEARCH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Weights and weighted values of an octet. The values have the orientation that points have: magnitudes for
// IQ2 and IQ3.
struct Octet {
  alignas(32) std::array<float, kOctet> w;
  alignas(32) std::array<float, kOctet> wx;
};

// sum w (x - scale v)^2 = sum w x^2 + cost(scale), v the levels chosen.
struct Moments {
  float wxv = 0, wvv = 0;

  float cost(float scale) const { return scale * (scale * wvv - 2 * wxv); }
  float best_scale() const { return wvv > 0 ? wxv / wvv : 0; }
  // What the best scale takes off the error.
  float gain() const { return wxv > 0 && wvv > 0 ? wxv * wxv / wvv : 0; }
  Moments& operator+=(const Moments& other) {
    wxv += other.wxv;
    wvv += other.wvv;
    return *this;
  }
};

// A tree, so that the order is the same on every machine.
template <int kCount>
HWY_INLINE float SumOf(const float* x) {
  if constexpr (kCount == 8) {
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
  } else {
    static_assert(kCount == 4);
    return (x[0] + x[2]) + (x[1] + x[3]);
  }
}

// The first of the points for which the sum of the prices tables[n][nibble n] is least.
struct alignas(64) NibbleTables : std::array<std::array<std::uint8_t, 16>, 4> {};

#if HWY_TARGET == HWY_SCALAR

template <std::size_t kPoints>
int CheapestPoint(const PointNibbles<kPoints>& book, const NibbleTables& tables) {
  int least = 256, found = 0;
  for (std::size_t p = 0; p < kPoints; ++p) {
    int cost = 0;
    for (int n = 0; n < 4; ++n) cost += tables[n][book.nibbles[n][p]];
    if (cost >= least) continue;
    least = cost;
    found = static_cast<int>(p);
  }
  return found;
}

// The prices of pairs of values, given those of each: four bytes a value.
inline NibbleTables PricePairs(const std::array<std::uint32_t, kOctet>& bytes) {
  NibbleTables tables;
  for (int n = 0; n < 4; ++n) {
    for (int i = 0; i < 16; ++i) {
      const unsigned price = (bytes[2 * n] >> 8 * (i % 4) & 255) + (bytes[2 * n + 1] >> 8 * (i / 4) & 255);
      tables[n][i] = static_cast<std::uint8_t>(std::min(price, 255u));
    }
  }
  return tables;
}

#else

template <std::size_t kPoints>
HWY_INLINE int CheapestPoint(const PointNibbles<kPoints>& book, const NibbleTables& tables) {
  const hn::ScalableTag<std::uint8_t> d;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  static_assert(kPoints % kLanes == 0 && kPoints / kLanes < 256);
  const auto t0 = hn::LoadDup128(d, tables[0].data()), t1 = hn::LoadDup128(d, tables[1].data());
  const auto t2 = hn::LoadDup128(d, tables[2].data()), t3 = hn::LoadDup128(d, tables[3].data());
  auto least = hn::Set(d, 255), where = hn::Zero(d), step = hn::Zero(d);
  const auto one = hn::Set(d, 1);
  for (std::size_t i = 0; i < kPoints; i += kLanes) {
    const auto price = [&](auto table, int n) {
      return hn::TableLookupBytes(table, hn::Load(d, book.nibbles[n].data() + i));
    };
    const auto cost = hn::SaturatedAdd(hn::SaturatedAdd(price(t0, 0), price(t1, 1)),
                                       hn::SaturatedAdd(price(t2, 2), price(t3, 3)));
    const auto lower = hn::Min(cost, least);
    where = hn::IfThenElse(hn::Eq(lower, least), where, step);
    least = lower;
    step = hn::Add(step, one);
  }
  alignas(64) std::array<std::uint8_t, kLanes> costs, steps;
  hn::Store(least, d, costs.data());
  hn::Store(where, d, steps.data());
  const hn::CappedTag<std::uint8_t, 16> d16;
  auto low = hn::Load(d16, costs.data());
  for (std::size_t i = 16; i < kLanes; i += 16) low = hn::Min(low, hn::Load(d16, costs.data() + i));
  low = hn::Min(low, hn::ShiftRightBytes<8>(d16, low));
  low = hn::Min(low, hn::ShiftRightBytes<4>(d16, low));
  low = hn::Min(low, hn::ShiftRightBytes<2>(d16, low));
  low = hn::Min(low, hn::ShiftRightBytes<1>(d16, low));
  alignas(8) std::array<std::uint8_t, 8> mask{};
  hn::StoreMaskBits(d, hn::Eq(least, hn::Set(d, hn::GetLane(low))), mask.data());
  std::uint64_t lanes;
  std::memcpy(&lanes, mask.data(), sizeof(lanes));
  std::size_t found = kPoints;
  for (; lanes != 0; lanes &= lanes - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(lanes));
    found = std::min(found, steps[lane] * kLanes + lane);
  }
  return static_cast<int>(found);
}

// The prices of pairs of values, given those of each: four bytes a value.
HWY_INLINE NibbleTables PricePairs(const std::array<std::uint32_t, kOctet>& bytes) {
  const hn::CappedTag<std::uint8_t, 16> d;
  const hn::Repartition<std::uint64_t, decltype(d)> d64;
  alignas(16) static constexpr std::array<std::uint8_t, 16> kFirst{0, 1, 2, 3, 0, 1, 2, 3,
                                                                   0, 1, 2, 3, 0, 1, 2, 3};
  alignas(16) static constexpr std::array<std::uint8_t, 16> kSecond{4, 4, 4, 4, 5, 5, 5, 5,
                                                                    6, 6, 6, 6, 7, 7, 7, 7};
  const auto first = hn::Load(d, kFirst.data()), second = hn::Load(d, kSecond.data());
  NibbleTables tables;
  for (int n = 0; n < 4; ++n) {
    std::uint64_t two;
    std::memcpy(&two, bytes.data() + 2 * n, sizeof(two));
    const auto both = hn::BitCast(d, hn::Set(d64, two));
    hn::StoreU(hn::SaturatedAdd(hn::TableLookupBytes(both, first), hn::TableLookupBytes(both, second)), d,
               tables[n].data());
  }
  return tables;
}

#endif

// Book: kPoints, kWidth values a point, kLevels; Nibbles(), Points().
template <class Book>
struct Search {
  static constexpr int kWidth = Book::kWidth, kLevels = Book::kLevels, kParts = kOctet / kWidth;
  using Levels = std::array<float, kLevels>;
  using Points = std::array<std::uint16_t, kParts>;

  // What each level of each value of an octet costs beyond the cheapest, and what the cheapest cost together.
  struct Prices {
    alignas(32) std::array<std::array<float, kOctet>, kLevels> excess;
    std::array<float, kParts> floor;
  };

  static HWY_INLINE Prices PriceLevels(const Octet& octet, const Levels& levels, float scale) {
    const hn::CappedTag<float, kOctet> d;
    Prices prices;
    alignas(32) std::array<float, kOctet> cheapest;
    for (std::size_t i = 0; i < kOctet; i += hn::Lanes(d)) {
      const auto w = hn::Load(d, octet.w.data() + i), wx = hn::Load(d, octet.wx.data() + i);
      const auto wx2 = hn::Add(wx, wx);
      auto least = hn::Set(d, 0);
      for (int l = 0; l < kLevels; ++l) {
        const auto a = hn::Set(d, scale * levels[l]);
        const auto cost = hn::Mul(a, hn::MulSub(a, w, wx2));
        least = l == 0 ? cost : hn::Min(least, cost);
        hn::Store(cost, d, prices.excess[l].data() + i);
      }
      for (int l = 0; l < kLevels; ++l) {
        float* excess = prices.excess[l].data() + i;
        hn::Store(hn::Sub(hn::Load(d, excess), least), d, excess);
      }
      hn::Store(least, d, cheapest.data() + i);
    }
    for (int part = 0; part < kParts; ++part)
      prices.floor[part] = SumOf<kWidth>(cheapest.data() + kWidth * part);
    return prices;
  }

  // Of one part of an octet.
  static HWY_INLINE Moments Measure(const Octet& octet, int part, int point, float shift) {
    const hn::CappedTag<float, kWidth> d;
    const float *w = octet.w.data() + kWidth * part, *wx = octet.wx.data() + kWidth * part;
    const float* values = Book::Points()[point].data();
    alignas(32) std::array<float, kWidth> wxv, wvv;
    for (std::size_t i = 0; i < kWidth; i += hn::Lanes(d)) {
      const auto v = hn::Add(hn::Load(d, values + i), hn::Set(d, shift));
      hn::Store(hn::Mul(hn::Load(d, wx + i), v), d, wxv.data() + i);
      hn::Store(hn::Mul(hn::Mul(hn::Load(d, w + i), v), v), d, wvv.data() + i);
    }
    return {SumOf<kWidth>(wxv.data()), SumOf<kWidth>(wvv.data())};
  }

  // The prices of a part as bytes, by a unit, laid out by the nibbles of points.
  static HWY_INLINE NibbleTables Tables(const Prices& prices, int part, float per_unit) {
    // For each value, its levels' prices as the bytes of integers: levels 0-3, and 4-7 where there are so
    // many.
    alignas(32) std::array<std::array<std::uint32_t, kOctet>, 2> bytes{};
    const hn::CappedTag<float, kWidth> d;
    const hn::RebindToSigned<decltype(d)> di;
    const auto unit = hn::Set(d, per_unit), top = hn::Set(d, 255.0f);
    for (std::size_t i = 0; i < kWidth; i += hn::Lanes(d)) {
      for (int first = 0; first < kLevels; first += 4) {
        auto packed = hn::Zero(di);
        for (int l = std::min(first + 4, kLevels) - 1; l >= first; --l) {
          const auto price = hn::Mul(hn::Load(d, prices.excess[l].data() + kWidth * part + i), unit);
          packed = hn::Or(hn::ShiftLeft<8>(packed), hn::NearestInt(hn::Min(price, top)));
        }
        hn::Store(packed, di, reinterpret_cast<std::int32_t*>(bytes[first / 4].data() + i));
      }
    }
    if constexpr (kWidth == 8) {
      return PricePairs(bytes[0]);
    } else {
      NibbleTables tables;
      for (int n = 0; n < 4; ++n) {
        const std::array<std::uint32_t, 4> row{bytes[0][n], bytes[1][n], 0, 0};
        std::memcpy(tables[n].data(), row.data(), sizeof(row));
      }
      return tables;
    }
  }

  // Replaces points by the cheapest at this scale (or nearly). The better the points that come in, the finer
  // the prices.
  static HWY_INLINE Moments Improve(const Octet& octet, const Levels& levels, float shift, float scale,
                                    Points& points) {
    constexpr float kNothing = 1e-30f;
    constexpr float kUnits = 250;
    const Prices prices = PriceLevels(octet, levels, scale);
    Moments sum;
    for (int part = 0; part < kParts; ++part) {
      Moments best = Measure(octet, part, points[part], shift);
      float excess = best.cost(scale) - prices.floor[part];
      for (int round = 0; round < 3 && excess > kNothing; ++round) {
        const int found = CheapestPoint(Book::Nibbles(), Tables(prices, part, kUnits / excess));
        if (found == points[part]) break;
        const Moments moments = Measure(octet, part, found, shift);
        const float less = moments.cost(scale) - prices.floor[part];
        if (!(less < excess)) break;
        points[part] = static_cast<std::uint16_t>(found);
        best = moments;
        const bool again = less < excess / 4;
        excess = less;
        if (!again) break;
      }
      sum += best;
    }
    return sum;
  }
};

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_QUANTIZE_IQ_SEARCH_INL_H_
