// An IQ block quantises twice: groups of values to points of a code book, and the sub-blocks' scales to odd
// multiples of one F16. Each sub-block is fitted alone; a common d is chosen that suits their scales; then
// points are found again for the scales that a reader will decode, and d is refitted to all that was chosen.
#include "quantize/iq_fit.h"

#include "kernels/vector/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/iq_fit.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "quantize/block_scale.h"
#include "quantize/iq_search-inl.h"
#include "quantize/iq_types-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::array<float, 2> kShifts{kShift1, -kShift1};

// The fit of one block.
template <class T>
class Fit {
 public:
  Fit(const float* from, const float* importance) {
    float extreme = 0, top = 0;
    for (int i = 0; i < kSuperBlock; ++i) extreme = std::max(extreme, std::abs(from[i]));
    unit_ = extreme < kLeastValue ? 1 : std::ldexp(1.0f, std::ilogb(extreme));
    if (importance != nullptr) top = *std::max_element(importance, importance + kSuperBlock);
    for (int s = 0; s < kSubs; ++s) {
      for (int o = 0; o < kSubOctets; ++o) {
        const int first = T::kSub * s + kOctet * o;
        Orient(from + first, top > 0 ? importance + first : nullptr, top, subs_[s], o);
      }
    }
  }

  IqCodes Run() {
    float top = 0;
    for (Sub& sub : subs_) {
      Scan(sub);
      top = std::max(top, sub.scale);
    }
    if (!(top > 0)) return {};
    Settled best = Settle(ChooseD(top));
    for (int i = 0; i < kRefits; ++i) {
      const Settled next = Resettle(best);
      if (!(next.error < best.error)) break;
      best = next;
    }
    return best.codes;
  }

 private:
  static constexpr int kSubs = kSuperBlock / T::kSub, kSubOctets = T::kSub / kOctet;
  static constexpr bool kShifted = T::kSigns == Signs::kShiftOfSub || T::kSigns == Signs::kShiftOfOctet;
  static constexpr int kRefits = 1;
  static constexpr int kFlips = 3;  // values of an octet that may bear the wrong sign
  static constexpr float kLeastValue = 0x1p-60f, kLeastWeight = 0x1p-20f;
  using Find = Search<T>;
  using Task = typename Find::Task;
  using Points = typename Find::Points;

  // The points of a sub-block, with their signs or shifts.
  struct Choice {
    bool known = false;
    std::array<Points, kSubOctets> points{};
    std::array<std::uint8_t, kSubOctets> signs{};
    Moments moments;
  };

  struct Sub {
    std::array<Octet, kSubOctets> octets;
    std::array<std::uint8_t, kSubOctets> signs{};
    std::array<bool, kSubOctets> odd{};  // has one wrong sign, that of the first of `flips`
    std::array<std::array<std::uint8_t, kFlips>, kSubOctets> flips;
    float energy = 0, weight = 0;
    float extreme = 0, smallest = kInfinity;  // magnitudes
    float scale = 0;                          // the best alone
    Choice choice;
  };

  struct Settled {
    float error = 0;
    float d = 0;
    IqCodes codes;
    std::array<Choice, kSubs> choices;
  };

  void Orient(const float* from, const float* importance, float top, Sub& sub, int o) {
    Octet& octet = sub.octets[o];
    const float per_unit = 1 / unit_;
    unsigned signs = 0;
    for (int i = 0; i < kOctet; ++i) {
      const float x = from[i] * per_unit, size = std::abs(x);
      const float w = importance != nullptr ? std::max(importance[i] / top, kLeastWeight) : 1;
      octet.x[i] = kShifted ? x : size;
      octet.w[i] = w;
      octet.wx[i] = w * octet.x[i];
      sub.energy += w * x * x;
      sub.weight += w;
      sub.extreme = std::max(sub.extreme, size);
      sub.smallest = std::min(sub.smallest, size);
      signs |= unsigned{x < 0} << i;
    }
    if constexpr (kShifted) return;
    sub.signs[o] = static_cast<std::uint8_t>(signs);
    if constexpr (T::kSigns == Signs::kEven) {
      if (std::popcount(signs) % 2 == 0) return;
      sub.odd[o] = true;
      // A wrong sign costs 4 w |x| scale v, so the smallest w |x| come first.
      std::array<std::uint8_t, kOctet> order{0, 1, 2, 3, 4, 5, 6, 7};
      std::partial_sort(order.begin(), order.begin() + kFlips, order.end(),
                        [&](int a, int b) { return octet.wx[a] < octet.wx[b]; });
      std::copy_n(order.begin(), kFlips, sub.flips[o].begin());
      Flip(octet, sub.signs[o], order[0]);
    }
  }

  static void Flip(Octet& octet, std::uint8_t& signs, int i) {
    octet.x[i] = -octet.x[i];
    octet.wx[i] = -octet.wx[i];
    signs = static_cast<std::uint8_t>(signs ^ 1 << i);
  }

  // ---- One sub-block.

  // Improves the choices of some sub-blocks for their scales, but for their shifts.
  template <std::size_t kCount>
  static void Improve(const Sub* subs, const std::array<float, kCount>& scales, Choice* choices) {
    std::array<Task, kCount * kSubOctets> tasks;
    int count = 0;
    for (std::size_t s = 0; s < kCount; ++s) {
      Choice& choice = choices[s];
      for (int o = 0; o < kSubOctets; ++o) {
        if constexpr (!kShifted) choice.signs[o] = subs[s].signs[o];
        const float shift = kShifted ? kShifts[choice.signs[o]] : 0;
        tasks[count++] = {&subs[s].octets[o], scales[s], shift, choice.known, choice.points[o], {}};
      }
    }
    Find::Improve(tasks);
    count = 0;
    for (std::size_t s = 0; s < kCount; ++s) {
      Choice& choice = choices[s];
      choice.moments = {};
      choice.known = true;
      for (int o = 0; o < kSubOctets; ++o, ++count) {
        choice.points[o] = tasks[count].points;
        choice.moments += tasks[count].moments;
      }
    }
  }
  static void Improve(const Sub& sub, float scale, Choice& choice) { Improve<1>(&sub, {scale}, &choice); }

  // The same, trying both shifts, or several values to bear the wrong sign.
  static void ImproveFully(const Sub& sub, float scale, Choice& choice) {
    if constexpr (T::kSigns == Signs::kFree) {
      Improve(sub, scale, choice);
    } else if constexpr (T::kSigns == Signs::kShiftOfSub) {
      Choice other = choice;
      other.signs.fill(static_cast<std::uint8_t>(1 - choice.signs[0]));
      Improve(sub, scale, choice);
      Improve(sub, scale, other);
      if (other.moments.cost(scale) < choice.moments.cost(scale)) choice = other;
    } else {
      // Several tasks an octet; the best is kept.
      std::array<Task, Find::kMaxTasks> tasks;
      std::array<std::uint8_t, Find::kMaxTasks> signs;
      std::array<Octet, Find::kMaxTasks> flipped;
      std::array<int, kSubOctets + 1> first{};
      int count = 0;
      for (int o = 0; o < kSubOctets; ++o) {
        const auto add = [&](const Octet& octet, float shift, unsigned sign) {
          tasks[count] = {&octet, scale, shift, choice.known, choice.points[o], {}};
          signs[count++] = static_cast<std::uint8_t>(sign);
        };
        if constexpr (kShifted) {
          for (unsigned down = 0; down < 2; ++down) add(sub.octets[o], kShifts[down], down);
        } else {
          add(sub.octets[o], 0, sub.signs[o]);
          for (int i = 1; sub.odd[o] && i < kFlips; ++i) {
            std::uint8_t turned = sub.signs[o];
            Octet& octet = flipped[count];
            octet = sub.octets[o];
            Flip(octet, turned, sub.flips[o][0]);
            Flip(octet, turned, sub.flips[o][i]);
            add(octet, 0, turned);
          }
        }
        first[o + 1] = count;
      }
      Find::Improve(std::span(tasks.data(), static_cast<std::size_t>(count)));
      choice.moments = {};
      for (int o = 0; o < kSubOctets; ++o) {
        int best = first[o];
        for (int t = best + 1; t < first[o + 1]; ++t) {
          if (tasks[t].moments.cost(scale) < tasks[best].moments.cost(scale)) best = t;
        }
        choice.points[o] = tasks[best].points;
        choice.signs[o] = signs[best];
        choice.moments += tasks[best].moments;
      }
    }
  }

  static constexpr float kFlat = 0.6f;
  // Of the largest value over the largest level.
  static constexpr int kScales = kShifted ? 6 : 12;
  static constexpr float kLargestScale = kShifted ? 0.95f : 1.14f, kScaleStep = kShifted ? 0.8f : 0.92f;

  // Looks for the scale that suits a sub-block alone. What the best combination of levels costs is quickly
  // found for many scales; the best point costs more, and that grows about as the square of the scale.
  void Scan(Sub& sub) {
    if (sub.extreme == 0) return;
    std::array<float, kScales> scales, floors;
    std::array<std::uint8_t, kScales> downs{};
    float scale = sub.extreme / T::Values().back() * kLargestScale;
    for (int i = 0; i < kScales; ++i, scale *= kScaleStep) {
      scales[i] = scale;
      floors[i] = Find::Floor(sub.octets, kShifted ? kShift1 : 0, scale);
      if constexpr (kShifted) {
        const float other = Find::Floor(sub.octets, -kShift1, scale);
        downs[i] = other < floors[i];
        floors[i] = std::min(floors[i], other);
      }
    }
    const auto cost = [&](int i, float excess) { return (floors[i] + excess) * (scales[i] * scales[i]); };
    const auto best_with = [&](float excess) {
      int best = 0;
      for (int i = 1; i < kScales; ++i) {
        if (cost(i, excess) < cost(best, excess)) best = i;
      }
      return best;
    };
    const int first = best_with(T::kExcess * sub.weight);
    float gain = 0;
    Choice choice;
    const auto consider = [&](float at, std::uint8_t down) {
      if constexpr (kShifted) choice.signs.fill(down);
      Improve(sub, at, choice);
      if (choice.moments.gain() <= gain) return;
      gain = choice.moments.gain();
      sub.scale = choice.moments.best_scale();
      sub.choice = choice;
    };
    consider(scales[first], downs[first]);
    const float error = sub.energy + choice.moments.cost(scales[first]);
    const int second = best_with(error / (scales[first] * scales[first]) - floors[first]);
    if (T::kTries > 1 && second != first) consider(scales[second], downs[second]);
    // Where all are about as large, the lowest level, 1, may serve best: every code book has it throughout.
    if (!kShifted && sub.smallest > kFlat * sub.extreme) consider(std::sqrt(sub.energy / sub.weight), 0);
  }

  // ---- The block.

  static int NearestScale(float multiple) {
    return static_cast<int>(std::clamp(multiple * 0.5f, 0.0f, static_cast<float>(T::kTopScale)));
  }

  // A d for which the sub-blocks' scales come near to odd multiples of it, by what missing them costs.
  float ChooseD(float top) const {
    constexpr int kCandidates = 20;
    float best = 0, least = kInfinity;
    for (int i = 0; i < kCandidates; ++i) {
      const float d = top / (2 * T::kTopScale + 1) * (0.9f + 0.025f * static_cast<float>(i)), per_d = 1 / d;
      float cost = 0;
      for (const Sub& sub : subs_) {
        const float miss = sub.scale - d * static_cast<float>(2 * NearestScale(sub.scale * per_d) + 1);
        cost += sub.choice.moments.wvv * miss * miss;
      }
      if (cost < least) {
        least = cost;
        best = d;
      }
    }
    return best;
  }

  // Points for each sub-block at the scale nearest to its own, and at the next ones.
  Settled Settle(float d) const {
    Settled out;
    out.codes.d = PackScale(d, unit_);
    out.d = d;
    for (int s = 0; s < kSubs; ++s) {
      const Sub& sub = subs_[s];
      const float multiple = sub.scale / d;
      const int middle = NearestScale(multiple);
      const int next = multiple > static_cast<float>(2 * middle + 1) ? 1 : -1;
      const std::array<int, 3> tries{middle, middle + next, middle - next};
      float least = kInfinity;
      for (int i = 0; i < T::kTries; ++i) {
        const int k = tries[i];
        if (k < 0 || k > T::kTopScale) continue;
        const float scale = d * static_cast<float>(2 * k + 1);
        Choice choice = sub.choice;
        if constexpr (kShifted) {
          ImproveFully(sub, scale, choice);
        } else {
          Improve(sub, scale, choice);
        }
        const float cost = choice.moments.cost(scale);
        if (cost >= least) continue;
        least = cost;
        out.choices[s] = choice;
        out.codes.scales[s] = static_cast<std::uint8_t>(k);
      }
      Take(s, least, out);
    }
    return out;
  }

  // The same scales, and the d that suits the points best; points for that.
  Settled Resettle(const Settled& before) const {
    Moments sum;
    for (int s = 0; s < kSubs; ++s) {
      const float multiple = static_cast<float>(2 * before.codes.scales[s] + 1);
      const Moments& moments = before.choices[s].moments;
      sum += {multiple * moments.wxv, multiple * multiple * moments.wvv};
    }
    Settled out = before;
    out.error = 0;
    if (sum.gain() > 0) out.d = sum.best_scale();
    out.codes.d = PackScale(out.d, unit_);
    std::array<float, kSubs> scales;
    for (int s = 0; s < kSubs; ++s) {
      scales[s] = out.d * static_cast<float>(2 * out.codes.scales[s] + 1);
      if constexpr (T::kSigns == Signs::kEven) ImproveFully(subs_[s], scales[s], out.choices[s]);
    }
    if constexpr (T::kSigns != Signs::kEven) {
      constexpr int kTogether = Find::kMaxTasks / kSubOctets;
      for (int s = 0; s < kSubs; s += kTogether) {
        std::array<float, kTogether> some;
        std::copy_n(scales.begin() + s, kTogether, some.begin());
        Improve<kTogether>(subs_.data() + s, some, out.choices.data() + s);
      }
    }
    for (int s = 0; s < kSubs; ++s) Take(s, out.choices[s].moments.cost(scales[s]), out);
    return out;
  }

  void Take(int s, float cost, Settled& out) const {
    out.error += subs_[s].energy + cost;
    const Choice& choice = out.choices[s];
    for (int o = 0; o < kSubOctets; ++o) {
      const int octet = kSubOctets * s + o;
      std::copy_n(choice.points[o].begin(), Find::kParts, out.codes.points.begin() + Find::kParts * octet);
      out.codes.signs[octet] = choice.signs[o];
    }
  }

  float unit_;
  std::array<Sub, kSubs> subs_;
};

IqCodes FitBlock(Type type, const float* from, const float* importance) {
  switch (type) {
    case Type::kIQ1_S:
      return Fit<TypeIQ1_S>(from, importance).Run();
    case Type::kIQ1_M:
      return Fit<TypeIQ1_M>(from, importance).Run();
    case Type::kIQ2_XXS:
      return Fit<TypeIQ2_XXS>(from, importance).Run();
    case Type::kIQ2_XS:
      return Fit<TypeIQ2_XS>(from, importance).Run();
    case Type::kIQ2_S:
      return Fit<TypeIQ2_S>(from, importance).Run();
    case Type::kIQ3_XXS:
      return Fit<TypeIQ3_XXS>(from, importance).Run();
    case Type::kIQ3_S:
      return Fit<TypeIQ3_S>(from, importance).Run();
    default:
      Fail(ErrorKind::kInternal, "{} has no code book", Traits(type).name);
  }
}

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {
namespace {

HWY_EXPORT(FitBlock);

}  // namespace

IqCodes FitIq(Type type, const float* from, const float* importance) {
  return HWY_DYNAMIC_DISPATCH(FitBlock)(type, from, importance);
}

}  // namespace longspan
#endif
