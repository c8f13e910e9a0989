// The fit of one sub-block: its points, signs or shifts at a given scale, and the scale that suits it alone.
//
// To be included by a file that Highway compiles once for each instruction set.
#if defined(LONGSPAN_ENCODE_IQ_SUB_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_ENCODE_IQ_SUB_BLOCK_INL_H_
#undef LONGSPAN_ENCODE_IQ_SUB_BLOCK_INL_H_
#else
#define LONGSPAN_ENCODE_IQ_SUB_BLOCK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include "encode/emphasis-inl.h"
#include "encode/iq_search-inl.h"
#include "encode/iq_types-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::array<float, 2> kShifts{kShift1, -kShift1};

template <class T>
struct SubBlock {
  static constexpr int kSubOctets = T::kSub / kOctet;
  static constexpr bool kShifted = T::kSigns == Signs::kShiftOfSub || T::kSigns == Signs::kShiftOfOctet;
  static constexpr int kFlips = 3;  // values of an octet that may bear the wrong sign
  static constexpr float kLeastWeight = 0x1p-20f;
  using Find = Search<T>;
  using Task = typename Find::Task;
  using Points = typename Find::Points;

  // Points, with their signs or shifts.
  struct Choice {
    bool known = false;
    std::array<Points, kSubOctets> points{};
    std::array<std::uint8_t, kSubOctets> signs{};
    Moments moments;
  };

  std::array<Octet, kSubOctets> octets;
  std::array<std::uint8_t, kSubOctets> octet_signs{};
  std::array<bool, kSubOctets> odd{};  // has one wrong sign, that of the first of `flips`
  std::array<std::array<std::uint8_t, kFlips>, kSubOctets> flips;
  float energy = 0, weight = 0;             // sums of w x^2 and of w
  float extreme = 0, smallest = kInfinity;  // magnitudes
  // The best fit of the sub-block alone, set by Scan.
  float scale = 0;
  Choice choice;

  // Sets octet o. Its values are in units of 1 / per_unit, its importances, if any, in units of `top`.
  // `mean_square` is the block's.
  void Take(const float* from, const float* importance, float top, float per_unit, float mean_square, int o) {
    Octet& octet = octets[o];
    const hn::CappedTag<float, kOctet> d;
    alignas(32) std::array<float, kOctet> emphasis;
    for (std::size_t i = 0; i < kOctet; i += hn::MaxLanes(d)) {
      const auto x = hn::Mul(hn::LoadU(d, from + i), hn::Set(d, per_unit));
      hn::Store(Emphasis(hn::Set(d, T::kSpread * mean_square), x), d, emphasis.data() + i);
    }
    unsigned signs = 0;
    for (int i = 0; i < kOctet; ++i) {
      const float x = from[i] * per_unit, size = std::abs(x);
      const float known = importance != nullptr ? std::max(importance[i] / top, kLeastWeight) : 1;
      const float w = known * emphasis[i];
      octet.x[i] = kShifted ? x : size;
      octet.w[i] = w;
      octet.wx[i] = w * octet.x[i];
      energy += w * x * x;
      weight += w;
      extreme = std::max(extreme, size);
      smallest = std::min(smallest, size);
      signs |= unsigned{x < 0} << i;
    }
    if constexpr (kShifted) return;
    octet_signs[o] = static_cast<std::uint8_t>(signs);
    if constexpr (T::kSigns == Signs::kEven) {
      if (std::popcount(signs) % 2 == 0) return;
      odd[o] = true;
      // A wrong sign costs 4 w |x| scale v, so the smallest w |x| come first.
      std::array<std::uint8_t, kOctet> order{0, 1, 2, 3, 4, 5, 6, 7};
      std::partial_sort(order.begin(), order.begin() + kFlips, order.end(),
                        [&](int a, int b) { return octet.wx[a] < octet.wx[b]; });
      std::copy_n(order.begin(), kFlips, flips[o].begin());
      Flip(octet, octet_signs[o], order[0]);
    }
  }

  static void Flip(Octet& octet, std::uint8_t& signs, int i) {
    octet.x[i] = -octet.x[i];
    octet.wx[i] = -octet.wx[i];
    signs = static_cast<std::uint8_t>(signs ^ 1 << i);
  }

  static constexpr float kFlat = 0.6f;
  // The scales that are tried, as fractions of the largest value over the largest level.
  static constexpr int kScales = kShifted ? 6 : 12;
  static constexpr float kLargestScale = kShifted ? 0.95f : 1.14f, kScaleStep = kShifted ? 0.8f : 0.92f;

  // Looks for the scale that suits a sub-block alone. The cost of the best combination of levels is found
  // quickly for many scales. The best point costs more; the difference grows about as the square of the
  // scale.
  void Scan() {
    if (extreme == 0) return;
    std::array<float, kScales> scales, floors;
    std::array<std::uint8_t, kScales> downs{};
    float next = extreme / T::Values().back() * kLargestScale;
    for (int i = 0; i < kScales; ++i, next *= kScaleStep) {
      scales[i] = next;
      floors[i] = Find::Floor(octets, kShifted ? kShift1 : 0, next);
      if constexpr (kShifted) {
        const float other = Find::Floor(octets, -kShift1, next);
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
    const int first = best_with(T::kExcess * weight);
    float gain = 0;
    Choice tried;
    const auto consider = [&](float at, std::uint8_t down) {
      if constexpr (kShifted) tried.signs.fill(down);
      Improve(*this, at, tried);
      if (tried.moments.gain() <= gain) return;
      gain = tried.moments.gain();
      scale = tried.moments.best_scale();
      choice = tried;
    };
    consider(scales[first], downs[first]);
    const float error = energy + tried.moments.cost(scales[first]);
    const int second = best_with(error / (scales[first] * scales[first]) - floors[first]);
    if (T::kTries > 1 && second != first) consider(scales[second], downs[second]);
    // If all values are about as large, the lowest level, 1, may serve best. Every code book has a point of
    // ones.
    if (!kShifted && smallest > kFlat * extreme) consider(std::sqrt(energy / weight), 0);
  }

  // Improves the choices of some sub-blocks at the given scales. Their shifts stay.
  template <std::size_t kCount>
  static void Improve(const SubBlock* subs, const std::array<float, kCount>& scales, Choice* choices) {
    std::array<Task, kCount * kSubOctets> tasks;
    int count = 0;
    for (std::size_t s = 0; s < kCount; ++s) {
      Choice& choice = choices[s];
      for (int o = 0; o < kSubOctets; ++o) {
        if constexpr (!kShifted) choice.signs[o] = subs[s].octet_signs[o];
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
  static void Improve(const SubBlock& sub, float scale, Choice& choice) {
    Improve<1>(&sub, {scale}, &choice);
  }

  // The same, but tries both shifts, or several values that may bear the wrong sign.
  static void ImproveFully(const SubBlock& sub, float scale, Choice& choice) {
    if constexpr (T::kSigns == Signs::kFree) {
      Improve(sub, scale, choice);
    } else if constexpr (T::kSigns == Signs::kShiftOfSub) {
      Choice other = choice;
      other.known = false;
      other.signs.fill(static_cast<std::uint8_t>(1 - choice.signs[0]));
      Improve(sub, scale, choice);
      Improve(sub, scale, other);
      if (other.moments.cost(scale) < choice.moments.cost(scale)) choice = other;
    } else {
      // Each octet has several tasks, and the best is kept.
      constexpr std::size_t kMost = kSubOctets * (kShifted ? 2 : kFlips);
      std::array<Task, kMost> tasks;
      std::array<std::uint8_t, kMost> signs;
      std::array<Octet, kMost> flipped;
      std::array<int, kSubOctets + 1> first{};
      int count = 0;
      for (int o = 0; o < kSubOctets; ++o) {
        const auto add = [&](const Octet& octet, float shift, unsigned sign) {
          const bool known = choice.known && (!kShifted || sign == choice.signs[o]);
          tasks[count] = {&octet, scale, shift, known, choice.points[o], {}};
          signs[count++] = static_cast<std::uint8_t>(sign);
        };
        if constexpr (kShifted) {
          for (unsigned down = 0; down < 2; ++down) add(sub.octets[o], kShifts[down], down);
        } else {
          add(sub.octets[o], 0, sub.octet_signs[o]);
          for (int i = 1; sub.odd[o] && i < kFlips; ++i) {
            std::uint8_t turned = sub.octet_signs[o];
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
};

}  // namespace
}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LONGSPAN_ENCODE_IQ_SUB_BLOCK_INL_H_
