// Finds the points of a code book that are nearest to a few values, under weights. A point costs the sum of
// what its values' levels cost. So the levels of a group of values are priced once, in bytes. Then four table
// look-ups and three additions price as many points as a vector has bytes. Every point is tried, and no lists
// of neighbours are needed. Only IQ1's book is dense enough for a shorter way (iq1_cheapest-inl.h).
//
// A price is what a level costs beyond the cheapest level of its value, in units of a 250th of what a known
// point costs beyond the cheapest levels. Rounding them to integers moves a sum by one percent or less.
//
// To be included by a file that Highway compiles once for each instruction set. A product and its sum are
// rounded apart (see CMakeLists.txt), and sums have one order: the result is the same on every machine.
#if defined(LONGSPAN_ENCODE_IQ_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_IQ_SEARCH_INL_H_
#undef LONGSPAN_ENCODE_IQ_SEARCH_INL_H_
#else
#define LONGSPAN_ENCODE_IQ_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "encode/iq1_cheapest-inl.h"
#include "encode/iq_cheapest-inl.h"
#include "tensor/iq_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Values, weights, and their products. For IQ2 and IQ3 the values are magnitudes, as points are.
struct Octet {
  alignas(32) std::array<float, kOctet> x;
  alignas(32) std::array<float, kOctet> w;
  alignas(32) std::array<float, kOctet> wx;
};

// sum w (x - scale v)^2 = sum w x^2 + cost(scale), v the levels chosen.
struct Moments {
  float wxv = 0, wvv = 0;

  float cost(float scale) const { return scale * (scale * wvv - 2 * wxv); }
  float best_scale() const { return wvv > 0 ? wxv / wvv : 0; }
  // By how much the best scale lowers the error.
  float gain() const { return wxv > 0 && wvv > 0 ? wxv * wxv / wvv : 0; }
  Moments& operator+=(const Moments& other) {
    wxv += other.wxv;
    wvv += other.wvv;
    return *this;
  }
};

// The sum of an octet or of half of one, in this order: ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)), or (0 + 2)
// + (1 + 3).
template <int kCount>
HWY_INLINE float SumOf(const float* x) {
  static_assert(kCount == 8 || kCount == 4);
#if HWY_TARGET == HWY_SCALAR
  std::array<float, 4> four;
  for (int i = 0; i < 4; ++i) four[i] = kCount == 8 ? x[i] + x[i + 4] : x[i];
  return (four[0] + four[2]) + (four[1] + four[3]);
#else
  const hn::CappedTag<float, 4> d;
  auto four = hn::Load(d, x);
  if constexpr (kCount == 8) four = hn::Add(four, hn::Load(d, x + 4));
  const auto two = hn::Add(four, hn::Shuffle1032(four));
  return hn::GetLane(hn::Add(two, hn::Shuffle2301(two)));
#endif
}

// Type has kWidth (values of a point), kLevels, Values(), Points(), Book(), and kExcess: what a point costs
// on average beyond the cheapest levels, at scale 1 and weight 1.
template <class Type>
struct Search {
  static constexpr int kWidth = Type::kWidth, kLevels = Type::kLevels, kParts = kOctet / kWidth;
  static constexpr int kMaxTasks = 16;
  using Points = std::array<std::uint16_t, kParts>;

  // An octet to find points for. Levels are moved by `shift`. Prices are relative to the known points, if
  // any, or else to a usual cost. So the better the points, the finer the prices.
  struct Task {
    const Octet* octet = nullptr;
    float scale = 0, shift = 0;
    bool known = false;
    Points points{};
    Moments moments;
  };

  // The error that would remain if every combination of levels were a point, over the square of the scale.
  static HWY_INLINE float Floor(std::span<const Octet> octets, float shift, float scale) {
    const hn::CappedTag<float, kOctet> d;
    alignas(32) std::array<float, kOctet> errors;
    const auto per_scale = hn::Set(d, 1 / scale);
    for (std::size_t i = 0; i < kOctet; i += hn::MaxLanes(d)) {
      auto sum = hn::Zero(d);
      for (const Octet& octet : octets) {
        const auto miss = Miss(d, hn::Mul(hn::Load(d, octet.x.data() + i), per_scale), shift);
        sum = hn::Add(sum, hn::Mul(hn::Load(d, octet.w.data() + i), hn::Mul(miss, miss)));
      }
      hn::Store(sum, d, errors.data() + i);
    }
    return SumOf<kOctet>(errors.data());
  }

  // Replaces points by the cheapest ones at their scales, or nearly the cheapest.
  static void Improve(std::span<Task> tasks) {
    if constexpr (Type::kDense) {
      for (Task& task : tasks) {
        const Octet& octet = *task.octet;
        const int found = CheapestPointIQ1(octet.w.data(), octet.wx.data(), task.scale, task.shift);
        task.points[0] = static_cast<std::uint16_t>(found);
        task.moments = Measure(octet, 0, found, task.shift);
      }
    } else {
      ImproveByPrices(tasks);
    }
  }

 private:
  // The octets go through each step together, because the steps of one wait for each other.
  static void ImproveByPrices(std::span<Task> tasks) {
    constexpr float kNothing = 1e-30f, kUnits = 250, kFiner = 0.125f;
    constexpr int kRounds = 4;
    std::array<Open, kMaxTasks> opens;
    for (std::size_t t = 0; t < tasks.size(); ++t) Begin(tasks[t], opens[t]);
    bool any = true;
    for (int round = 0; round < kRounds && any; ++round) {
      any = false;
      std::array<std::array<NibbleTables, kParts>, kMaxTasks> tables;
      for (std::size_t t = 0; t < tasks.size(); ++t) {
        std::array<float, kParts> per_unit;
        for (int part = 0; part < kParts; ++part)
          per_unit[part] = kUnits / std::max(opens[t].excess[part], kNothing);
        tables[t] = Tables(opens[t].prices, per_unit);
      }
      for (std::size_t t = 0; t < tasks.size(); ++t) {
        Task& task = tasks[t];
        Open& open = opens[t];
        for (int part = 0; part < kParts; ++part) {
          if (!open.open[part]) continue;
          open.open[part] = false;
          float& excess = open.excess[part];
          const int found = CheapestPoint(Type::Book(), tables[t][part]);
          if (found < 0) {  // no point is as cheap as was guessed
            if (!open.known[part]) {
              excess *= 4;
              open.open[part] = any = true;
            }
            continue;
          }
          if (open.known[part] && found == task.points[part]) continue;
          const Moments moments = Measure(*task.octet, part, found, task.shift);
          const float less = moments.cost(task.scale) - open.prices.floor[part];
          if (open.known[part] && !(less < excess)) continue;
          task.points[part] = static_cast<std::uint16_t>(found);
          open.best[part] = moments;
          open.open[part] =
              less > kNothing && (less < kFiner * excess || (!open.known[part] && less > excess));
          any |= open.open[part];
          open.known[part] = true;
          excess = less;
        }
      }
    }
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      tasks[t].moments = {};
      tasks[t].known = true;
      for (int part = 0; part < kParts; ++part) tasks[t].moments += opens[t].best[part];
    }
  }

  // What each level of each value costs beyond the cheapest, and what the cheapest cost together.
  struct Prices {
    alignas(32) std::array<std::array<float, kOctet>, kLevels> excess;
    std::array<float, kParts> floor;
  };

  struct Open {
    Prices prices;
    std::array<Moments, kParts> best;
    std::array<float, kParts> excess;  // of `best` over the floor, or a guess
    std::array<bool, kParts> open, known;
  };

  // How far x is from the nearest level.
  template <class D, class V>
  static HWY_INLINE V Miss(D d, V x, float shift) {
    if constexpr (kLevels == 8) {  // 1, 3, ..., 15, or nearly
      const V half = hn::Set(d, 0.5f);
      const V level =
          hn::Clamp(hn::Round(hn::Mul(hn::Sub(x, hn::Set(d, 1)), half)), hn::Zero(d), hn::Set(d, 7));
      return hn::Sub(hn::Sub(x, hn::Add(level, level)), hn::Set(d, 1));
    } else {
      V least = hn::Abs(hn::Sub(x, hn::Set(d, Type::Values()[0] + shift)));
      for (int l = 1; l < kLevels; ++l)
        least = hn::Min(least, hn::Abs(hn::Sub(x, hn::Set(d, Type::Values()[l] + shift))));
      return least;
    }
  }

  static HWY_INLINE void Begin(const Task& task, Open& open) {
    const hn::CappedTag<float, kOctet> d;
    const Octet& octet = *task.octet;
    const float scale = task.scale;
    Prices& prices = open.prices;
    alignas(32) std::array<float, kOctet> cheapest;
    for (std::size_t i = 0; i < kOctet; i += hn::MaxLanes(d)) {
      const auto w = hn::Load(d, octet.w.data() + i), wx = hn::Load(d, octet.wx.data() + i);
      const auto ws = hn::Mul(w, hn::Set(d, scale * scale)), wxs = hn::Mul(wx, hn::Set(d, 2 * scale));
      auto least = hn::Zero(d);
      for (int l = 0; l < kLevels; ++l) {
        const auto v = hn::Set(d, Type::Values()[l] + task.shift);
        const auto cost = hn::Mul(v, hn::Sub(hn::Mul(v, ws), wxs));
        least = l == 0 ? cost : hn::Min(least, cost);
        hn::Store(cost, d, prices.excess[l].data() + i);
      }
      for (int l = 0; l < kLevels; ++l) {
        float* excess = prices.excess[l].data() + i;
        hn::Store(hn::Sub(hn::Load(d, excess), least), d, excess);
      }
      hn::Store(least, d, cheapest.data() + i);
    }
    for (int part = 0; part < kParts; ++part) {
      prices.floor[part] = SumOf<kWidth>(cheapest.data() + kWidth * part);
      open.known[part] = task.known;
      if (task.known) {
        open.best[part] = Measure(octet, part, task.points[part], task.shift);
        open.excess[part] = open.best[part].cost(scale) - prices.floor[part];
      } else {
        const float weight = SumOf<kWidth>(octet.w.data() + kWidth * part);
        open.excess[part] = 2 * Type::kExcess * weight * scale * scale;
      }
      open.open[part] = !task.known || open.excess[part] > 1e-30f;
    }
  }

  // The moments of one part of an octet with a point's levels.
  static HWY_INLINE Moments Measure(const Octet& octet, int part, int point, float shift) {
    const hn::CappedTag<float, kWidth> d;
    const float *w = octet.w.data() + kWidth * part, *wx = octet.wx.data() + kWidth * part;
    const float* values = Type::Points()[point].data();
    alignas(32) std::array<float, kWidth> wxv, wvv;
    for (std::size_t i = 0; i < kWidth; i += hn::MaxLanes(d)) {
      const auto v = hn::Add(hn::Load(d, values + i), hn::Set(d, shift));
      hn::Store(hn::Mul(hn::Load(d, wx + i), v), d, wxv.data() + i);
      hn::Store(hn::Mul(hn::Mul(hn::Load(d, w + i), v), v), d, wvv.data() + i);
    }
    return {SumOf<kWidth>(wxv.data()), SumOf<kWidth>(wvv.data())};
  }

  // The prices as bytes, in units of their part, laid out by the nibbles of points.
  static HWY_INLINE std::array<NibbleTables, kParts> Tables(const Prices& prices,
                                                            const std::array<float, kParts>& per_unit) {
    // For each value, its levels' prices as the bytes of integers: levels 0-3, and 4-7 where there are so
    // many.
    alignas(32) std::array<std::array<std::uint32_t, kOctet>, 2> bytes;
    alignas(32) std::array<float, kOctet> units;
    for (int i = 0; i < kOctet; ++i) units[i] = per_unit[i / kWidth];
    const hn::CappedTag<float, kOctet> d;
    const hn::RebindToSigned<decltype(d)> di;
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto top = hn::Set(d, float{kTooDear});
    for (std::size_t i = 0; i < kOctet; i += hn::MaxLanes(d)) {
      const auto unit = hn::Load(d, units.data() + i);
      for (int first = 0; first < kLevels; first += 4) {
        auto packed = hn::Zero(di);
        for (int l = std::min(first + 4, kLevels) - 1; l >= first; --l) {
          const auto price = hn::Mul(hn::Load(d, prices.excess[l].data() + i), unit);
          packed = hn::Or(hn::ShiftLeft<8>(packed), hn::NearestInt(hn::Min(price, top)));
        }
        hn::Store(hn::BitCast(du, packed), du, bytes[first / 4].data() + i);
      }
    }
    if constexpr (kWidth == 8) {
      return {PricePairs(bytes[0])};
    } else {
      std::array<NibbleTables, kParts> tables;
      for (int i = 0; i < kOctet; ++i) {
        const std::array<std::uint32_t, 4> row{bytes[0][i], bytes[1][i], 0, 0};
        std::memcpy(tables[i / kWidth].price[i % kWidth].data(), row.data(), sizeof(row));
      }
      return tables;
    }
  }
};

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_ENCODE_IQ_SEARCH_INL_H_
