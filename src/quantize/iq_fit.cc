#include "quantize/iq_fit.h"

#include "kernels/vector/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize/iq_fit.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "quantize/iq_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

// Signs of an octet are free, or their number is even. IQ1 has no signs but a shift, of a sub-block or of an
// octet.
enum class Signs { kFree, kEven, kShiftOfSub, kShiftOfOctet };

struct IQ2_XXS {
  static constexpr int kWidth = 8, kLevels = 3, kSub = 32, kTopScale = 15;
  static constexpr Signs kSigns = Signs::kEven;
  static constexpr const auto& Values() { return kLevels2; }
  static const auto& Points() { return kPointsIQ2_XXS; }
  static const auto& Nibbles() { return kNibblesIQ2_XXS; }
};

struct IQ2_XS : IQ2_XXS {
  static constexpr int kSub = 16;
  static const auto& Points() { return kPointsIQ2_XS; }
  static const auto& Nibbles() { return kNibblesIQ2_XS; }
};

struct IQ2_S : IQ2_XS {
  static constexpr Signs kSigns = Signs::kFree;
  static const auto& Points() { return kPointsIQ2_S; }
  static const auto& Nibbles() { return kNibblesIQ2_S; }
};

struct IQ3_XXS {
  static constexpr int kWidth = 4, kLevels = 8, kSub = 32, kTopScale = 15;
  static constexpr Signs kSigns = Signs::kEven;
  static constexpr const auto& Values() { return kLevels3_XXS; }
  static const auto& Points() { return kPointsIQ3_XXS; }
  static const auto& Nibbles() { return kNibblesIQ3_XXS; }
};

struct IQ3_S : IQ3_XXS {
  static constexpr Signs kSigns = Signs::kFree;
  static constexpr const auto& Values() { return kLevels3_S; }
  static const auto& Points() { return kPointsIQ3_S; }
  static const auto& Nibbles() { return kNibblesIQ3_S; }
};

struct IQ1_S {
  static constexpr int kWidth = 8, kLevels = 3, kSub = 32, kTopScale = 7;
  static constexpr Signs kSigns = Signs::kShiftOfSub;
  static constexpr const auto& Values() { return kLevels1; }
  static const auto& Points() { return kPointsIQ1; }
  static const auto& Nibbles() { return kNibblesIQ1; }
};

struct IQ1_M : IQ1_S {
  static constexpr int kSub = 16;
  static constexpr Signs kSigns = Signs::kShiftOfOctet;
};

// The fit of one block.
template <class F>
class Fit {
 public:
  explicit Fit(const BlockValues& block) : block_(block) {
    for (int s = 0; s < kSubs; ++s) Orient(s);
  }

  IqCodes Run() {
    float top = 0;
    for (int s = 0; s < kSubs; ++s) {
      Scan(s);
      top = std::max(top, subs_[s].scale);
    }
    if (!(top > 0)) return {};
    Settled best = Settle(ChooseD(top), false);
    for (int i = 0; i < kRefits; ++i) {
      const Settled next = Settle(Refit(best), true);
      if (!(next.error < best.error)) break;
      best = next;
    }
    return best.codes;
  }

 private:
  static constexpr int kSubs = kSuperBlock / F::kSub, kSubOctets = F::kSub / kOctet;
  static constexpr int kRefits = 2;
  static constexpr bool kShifts = F::kSigns == Signs::kShiftOfSub || F::kSigns == Signs::kShiftOfOctet;
  static constexpr int kFlips = 3;
  using Find = Search<F>;
  using Points = typename Find::Points;

  // The points and the shift or signs of a sub-block.
  struct Choice {
    std::array<Points, kSubOctets> points{};
    std::array<std::uint8_t, kSubOctets> signs{};
    Moments moments;
  };

  struct Sub {
    std::array<Octet, kSubOctets> octets;
    std::array<std::uint8_t, kSubOctets> signs{};
    std::array<std::array<std::uint8_t, kFlips>, kSubOctets> flips{};  // the cheapest values to flip
    float energy = 0;
    float extreme = 0;
    float scale = 0;  // the best alone
    Choice choice;
  };

  struct Settled {
    float error = std::numeric_limits<float>::infinity();
    float d = 0;
    IqCodes codes;
    std::array<Choice, kSubs> choices;
  };

  static constexpr typename Find::Levels Shifted(float shift) {
    typename Find::Levels levels = F::Values();
    for (float& level : levels) level += shift;
    return levels;
  }

  void Orient(int s) {
    Sub& sub = subs_[s];
    for (int o = 0; o < kSubOctets; ++o) {
      const float* x = block_.x.data() + F::kSub * s + kOctet * o;
      const float* w = block_.weights.data() + F::kSub * s + kOctet * o;
      Octet& octet = sub.octets[o];
      unsigned signs = 0;
      for (int i = 0; i < kOctet; ++i) {
        const float size = std::abs(x[i]);
        octet.w[i] = w[i];
        octet.wx[i] = w[i] * (kShifts ? x[i] : size);
        sub.energy += w[i] * x[i] * x[i];
        sub.extreme = std::max(sub.extreme, size);
        signs |= unsigned{x[i] < 0} << i;
      }
      sub.signs[o] = static_cast<std::uint8_t>(kShifts ? 0 : signs);
      if constexpr (F::kSigns == Signs::kEven) {
        if (std::popcount(signs) % 2 == 0) continue;
        // A wrong sign at level v costs 4 w |x| v scale.
        std::array<std::uint8_t, kOctet> order{0, 1, 2, 3, 4, 5, 6, 7};
        std::partial_sort(order.begin(), order.begin() + kFlips, order.end(),
                          [&](int a, int b) { return octet.wx[a] < octet.wx[b]; });
        std::copy_n(order.begin(), kFlips, sub.flips[o].begin());
        Flip(octet, sub.signs[o], order[0]);
      }
    }
  }

  static void Flip(Octet& octet, std::uint8_t& signs, int i) {
    octet.wx[i] = -octet.wx[i];
    signs = static_cast<std::uint8_t>(signs ^ 1 << i);
  }

  // Improves a choice for a scale.
  void Improve(const Sub& sub, float scale, Choice& choice) const {
    if constexpr (F::kSigns == Signs::kShiftOfSub) {
      Choice best;
      float least = std::numeric_limits<float>::infinity();
      for (const bool down : {false, true}) {
        Choice tried = choice;
        tried.moments = {};
        const float shift = down ? -kShift1 : kShift1;
        for (int o = 0; o < kSubOctets; ++o) {
          tried.signs[o] = down;
          tried.moments += Find::Improve(sub.octets[o], Shifted(shift), shift, scale, tried.points[o]);
        }
        if (tried.moments.cost(scale) < least) {
          least = tried.moments.cost(scale);
          best = tried;
        }
      }
      choice = best;
    } else if constexpr (F::kSigns == Signs::kShiftOfOctet) {
      choice.moments = {};
      for (int o = 0; o < kSubOctets; ++o) {
        Points up = choice.points[o], down = up;
        const Moments m_up = Find::Improve(sub.octets[o], Shifted(kShift1), kShift1, scale, up);
        const Moments m_down = Find::Improve(sub.octets[o], Shifted(-kShift1), -kShift1, scale, down);
        const bool lower = m_down.cost(scale) < m_up.cost(scale);
        choice.points[o] = lower ? down : up;
        choice.signs[o] = lower;
        choice.moments += lower ? m_down : m_up;
      }
    } else {
      choice.moments = {};
      for (int o = 0; o < kSubOctets; ++o) {
        choice.signs[o] = sub.signs[o];
        choice.moments += Find::Improve(sub.octets[o], F::Values(), 0, scale, choice.points[o]);
      }
    }
  }

  // The same, trying several values to flip.
  void ImproveFully(const Sub& sub, float scale, Choice& choice) const {
    if constexpr (F::kSigns != Signs::kEven) {
      Improve(sub, scale, choice);
      return;
    }
    choice.moments = {};
    for (int o = 0; o < kSubOctets; ++o) {
      Octet octet = sub.octets[o];
      choice.signs[o] = sub.signs[o];
      Points best_points = choice.points[o];
      Moments best = Find::Improve(octet, F::Values(), 0, scale, best_points);
      const auto& flips = sub.flips[o];
      if (flips[0] != flips[1]) {
        std::uint8_t signs = sub.signs[o];
        for (int i = 1; i < kFlips; ++i) {
          Flip(octet, signs, flips[i - 1]);
          Flip(octet, signs, flips[i]);
          Points points = best_points;
          const Moments moments = Find::Improve(octet, F::Values(), 0, scale, points);
          if (moments.cost(scale) < best.cost(scale)) {
            best = moments;
            best_points = points;
            choice.signs[o] = signs;
          }
        }
      }
      choice.points[o] = best_points;
      choice.moments += best;
    }
  }

  void Scan(int s) {
    Sub& sub = subs_[s];
    if (sub.extreme == 0) return;
    const float top = std::max(std::abs(F::Values().front()), std::abs(F::Values().back()));
    Choice choice;
    float best = 0;
    const auto consider = [&](float scale) {
      Improve(sub, scale, choice);
      if (choice.moments.gain() > best) {
        best = choice.moments.gain();
        sub.scale = choice.moments.best_scale();
        sub.choice = choice;
      }
    };
    for (const float r : kScan) consider(sub.extreme / top * r);
    if (best == 0) return;
    choice = sub.choice;
    consider(sub.scale);
  }

  static constexpr std::array<float, 8> kScan{1.15f, 1.05f, 0.97f, 0.89f, 0.82f, 0.75f, 0.68f, 0.6f};

  // A d for which the sub-blocks' scales come near to odd multiples of it, by what missing them costs.
  float ChooseD(float top) const {
    float best = 0, least = std::numeric_limits<float>::infinity();
    for (int i = 0; i < 24; ++i) {
      const float d = top / (2 * F::kTopScale + 1) * (0.9f + 0.02f * static_cast<float>(i));
      float cost = 0;
      for (const Sub& sub : subs_) {
        const float miss = sub.scale - d * static_cast<float>(2 * NearestScale(sub.scale, d) + 1);
        cost += sub.choice.moments.wvv * miss * miss;
      }
      if (cost < least) {
        least = cost;
        best = d;
      }
    }
    return best;
  }

  static int NearestScale(float scale, float d) {
    return static_cast<int>(
        std::clamp((scale / d - 1) * 0.5f + 0.5f, 0.0f, static_cast<float>(F::kTopScale)));
  }

  Settled Settle(float d, bool again) const {
    Settled out;
    out.codes.d = block_.PackScale(d);
    out.d = d;
    out.error = 0;
    for (int s = 0; s < kSubs; ++s) {
      const Sub& sub = subs_[s];
      const int middle = NearestScale(sub.scale, d);
      float least = std::numeric_limits<float>::infinity();
      for (const int k : {middle, middle - 1, middle + 1}) {
        if (k < 0 || k > F::kTopScale) continue;
        const float scale = d * static_cast<float>(2 * k + 1);
        Choice choice = sub.choice;
        ImproveFully(sub, scale, choice);
        if (choice.moments.cost(scale) < least) {
          least = choice.moments.cost(scale);
          out.choices[s] = choice;
          out.codes.scales[s] = static_cast<std::uint8_t>(k);
        }
      }
      out.error += sub.energy + least;
      Write(out.choices[s], s, out.codes);
    }
    (void)again;
    return out;
  }

  static float Refit(const Settled& settled) {
    Moments sum;
    for (int s = 0; s < kSubs; ++s) {
      const float multiple = static_cast<float>(2 * settled.codes.scales[s] + 1);
      sum +=
          {multiple * settled.choices[s].moments.wxv, multiple * multiple * settled.choices[s].moments.wvv};
    }
    return sum.gain() > 0 ? sum.best_scale() : settled.d;
  }

  static void Write(const Choice& choice, int s, IqCodes& codes) {
    for (int o = 0; o < kSubOctets; ++o) {
      const int octet = kSubOctets * s + o;
      for (int part = 0; part < Find::kParts; ++part)
        codes.points[Find::kParts * octet + part] = choice.points[o][part];
      codes.signs[octet] = choice.signs[o];
    }
  }

  const BlockValues& block_;
  std::array<Sub, kSubs> subs_;
};

IqCodes FitBlock(Type type, const BlockValues& block) {
  switch (type) {
    case Type::kIQ1_S:
      return Fit<IQ1_S>(block).Run();
    case Type::kIQ1_M:
      return Fit<IQ1_M>(block).Run();
    case Type::kIQ2_XXS:
      return Fit<IQ2_XXS>(block).Run();
    case Type::kIQ2_XS:
      return Fit<IQ2_XS>(block).Run();
    case Type::kIQ2_S:
      return Fit<IQ2_S>(block).Run();
    case Type::kIQ3_XXS:
      return Fit<IQ3_XXS>(block).Run();
    case Type::kIQ3_S:
      return Fit<IQ3_S>(block).Run();
    default:
      Fail(ErrorKind::kInternal, "{} has no code book", Traits(type).name);
  }
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

HWY_EXPORT(FitBlock);

IqCodes FitIq(Type type, const BlockValues& block) { return HWY_DYNAMIC_DISPATCH(FitBlock)(type, block); }

}  // namespace longspan
#endif
