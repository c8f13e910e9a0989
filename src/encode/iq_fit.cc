// An IQ block quantises twice: groups of values to points of a code book, and the sub-blocks' scales to odd
// multiples of one F16. Each sub-block is fitted alone; a common d is chosen that suits their scales; then
// points are found again for the scales that a reader will decode, and d is refitted to all that was chosen.
#include "encode/iq_fit.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encode/iq_fit.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "encode/block_scale.h"
#include "encode/iq_sub_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

// The fit of one block.
template <class T>
class Fit {
 public:
  Fit(const float* from, const float* importance) {
    float extreme = 0, top = 0;
    for (int i = 0; i < kSuperBlock; ++i) extreme = std::max(extreme, std::abs(from[i]));
    unit_ = extreme < kLeastValue ? 1 : std::ldexp(1.0f, std::ilogb(extreme));
    if (importance != nullptr) top = *std::max_element(importance, importance + kSuperBlock);
    float mean_square = 0;
    for (int i = 0; i < kSuperBlock; ++i) {
      const float x = from[i] / unit_;
      mean_square += x * x / kSuperBlock;
    }
    for (int s = 0; s < kSubs; ++s) {
      for (int o = 0; o < kSubOctets; ++o) {
        const int first = T::kSub * s + kOctet * o;
        subs_[s].Take(from + first, top > 0 ? importance + first : nullptr, top, 1 / unit_, mean_square, o);
      }
    }
  }

  IqCodes Run() {
    float top = 0;
    for (Sub& sub : subs_) {
      sub.Scan();
      top = std::max(top, sub.scale);
    }
    if (!(top > 0)) return {};
    Settled best = Settle(ChooseD(top));
    for (int i = 0; i < kRefits; ++i) {
      const Settled next = Resettle(best);
      if (!(next.error < best.error)) break;
      best = next;
    }
    float power = 0;
    for (const Sub& sub : subs_) power += sub.energy;
    best.d *= Lengthening(best.error, power, T::kLengthen);
    best.codes.d = PackNearest(best.d, unit_);
    return best.codes;
  }

 private:
  using Sub = SubBlock<T>;
  using Choice = typename Sub::Choice;
  static constexpr int kSubs = kSuperBlock / T::kSub, kSubOctets = Sub::kSubOctets;
  static constexpr int kRefits = 1;
  static constexpr float kLeastValue = 0x1p-60f;

  struct Settled {
    float error = 0;
    float d = 0;
    IqCodes codes;
    std::array<Choice, kSubs> choices;
  };

  static int NearestScale(float multiple) {
    return static_cast<int>(std::clamp(multiple * 0.5f, 0.0f, static_cast<float>(T::kTopScale)));
  }

  // The d for which rounding the sub-blocks' scales to odd multiples of it costs least.
  float ChooseD(float top) const {
    constexpr std::size_t kCandidates = 20;
    const hn::CappedTag<float, 4> tag;
    static_assert(kCandidates % hn::MaxLanes(tag) == 0);
    alignas(16) std::array<float, kCandidates> candidates, costs;
    for (std::size_t i = 0; i < kCandidates; ++i)
      candidates[i] = top / (2 * T::kTopScale + 1) * (0.9f + 0.025f * static_cast<float>(i));
    const auto half = hn::Set(tag, 0.5f), one = hn::Set(tag, 1), last = hn::Set(tag, T::kTopScale);
    for (std::size_t i = 0; i < kCandidates; i += hn::MaxLanes(tag)) {
      const auto d = hn::Load(tag, candidates.data() + i), per_d = hn::Div(one, d);
      auto cost = hn::Zero(tag);
      for (const Sub& sub : subs_) {
        const auto scale = hn::Set(tag, sub.scale);
        const auto k = hn::Trunc(hn::Clamp(hn::Mul(hn::Mul(scale, per_d), half), hn::Zero(tag), last));
        const auto miss = hn::Sub(scale, hn::Mul(d, hn::Add(hn::Add(k, k), one)));
        cost = hn::Add(cost, hn::Mul(hn::Mul(hn::Set(tag, sub.choice.moments.wvv), miss), miss));
      }
      hn::Store(cost, tag, costs.data() + i);
    }
    const auto least = std::min_element(costs.begin(), costs.end()) - costs.begin();
    return candidates[least];
  }

  // Finds each sub-block's points at the scale nearest to its own and at the next ones, and keeps the best.
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
        if constexpr (Sub::kShifted) {
          Sub::ImproveFully(sub, scale, choice);
        } else {
          Sub::Improve(sub, scale, choice);
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

  // Keeps the scales, fits d to the points, and finds the points again for that d.
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
      if constexpr (T::kSigns == Signs::kEven) Sub::ImproveFully(subs_[s], scales[s], out.choices[s]);
    }
    if constexpr (T::kSigns != Signs::kEven) {
      constexpr int kTogether = Sub::Find::kMaxTasks / kSubOctets;
      for (int s = 0; s < kSubs; s += kTogether) {
        std::array<float, kTogether> some;
        std::copy_n(scales.begin() + s, kTogether, some.begin());
        Sub::template Improve<kTogether>(subs_.data() + s, some, out.choices.data() + s);
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
      std::copy_n(choice.points[o].begin(), Sub::Find::kParts,
                  out.codes.points.begin() + Sub::Find::kParts * octet);
      out.codes.signs[octet] = choice.signs[o];
    }
  }

  float unit_;
  std::array<Sub, kSubs> subs_;
};

IqCodes FitBlock(Type type, const float* from, const float* importance) {
  switch (type) {
    case Type::kIQ1_S: return Fit<TypeIQ1_S>(from, importance).Run();
    case Type::kIQ1_M: return Fit<TypeIQ1_M>(from, importance).Run();
    case Type::kIQ2_XXS: return Fit<TypeIQ2_XXS>(from, importance).Run();
    case Type::kIQ2_XS: return Fit<TypeIQ2_XS>(from, importance).Run();
    case Type::kIQ2_S: return Fit<TypeIQ2_S>(from, importance).Run();
    case Type::kIQ3_XXS: return Fit<TypeIQ3_XXS>(from, importance).Run();
    case Type::kIQ3_S: return Fit<TypeIQ3_S>(from, importance).Run();
    default: Fail(ErrorKind::kInternal, "{} has no code book", Traits(type).name);
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
