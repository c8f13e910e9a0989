#include "quantize/budget.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace longspan {
namespace {

using Options = std::vector<TypeOption>;

// The corners of the lower convex hull of (bytes, harm), from the smallest option on: each step between
// neighbours saves less harm per byte than the one before.
std::vector<std::size_t> Hull(const Options& options) {
  std::vector<std::size_t> by_size(options.size());
  std::iota(by_size.begin(), by_size.end(), 0);
  std::ranges::stable_sort(by_size, {},
                           [&](std::size_t i) { return std::pair(options[i].bytes, options[i].harm); });
  const auto slope = [&](std::size_t from, std::size_t to) {
    return (options[from].harm - options[to].harm) /
           static_cast<double>(options[to].bytes - options[from].bytes);
  };
  std::vector<std::size_t> hull;
  for (const std::size_t i : by_size) {
    if (!hull.empty() && options[i].harm >= options[hull.back()].harm) continue;  // larger and no better
    while (hull.size() > 1 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), i))
      hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

struct Step {
  std::size_t tensor, option;
  std::int64_t bytes;  // more than the option before
  double slope;        // harm saved per byte
};

// Changes one tensor at a time, the best change first, as long as a change fits and saves harm.
void Fill(std::span<const Options> tensors, std::int64_t left, std::vector<std::size_t>& chosen) {
  for (;;) {
    double best = 0;
    std::size_t tensor = 0, option = 0;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      const TypeOption& now = tensors[t][chosen[t]];
      for (std::size_t o = 0; o < tensors[t].size(); ++o) {
        const double saved = now.harm - tensors[t][o].harm;
        if (saved > best && tensors[t][o].bytes - now.bytes <= left) {
          best = saved;
          tensor = t;
          option = o;
        }
      }
    }
    if (best <= 0) return;
    left -= tensors[tensor][option].bytes - tensors[tensor][chosen[tensor]].bytes;
    chosen[tensor] = option;
  }
}

}  // namespace

std::vector<std::size_t> SpendBytes(std::span<const Options> tensors, std::int64_t bytes) {
  std::vector<std::size_t> chosen;
  std::vector<Step> steps;
  std::int64_t left = bytes;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    if (tensors[t].empty()) Fail(ErrorKind::kInternal, "a tensor without a type to choose");
    const std::vector<std::size_t> hull = Hull(tensors[t]);
    chosen.push_back(hull.front());
    left -= tensors[t][hull.front()].bytes;
    for (std::size_t i = 1; i < hull.size(); ++i) {
      const TypeOption &from = tensors[t][hull[i - 1]], &to = tensors[t][hull[i]];
      const std::int64_t more = to.bytes - from.bytes;
      steps.push_back({t, hull[i], more, (from.harm - to.harm) / static_cast<double>(more)});
    }
  }
  if (left < 0) {
    Fail(ErrorKind::kBadOption, "{} bytes for the weights are too few: the smallest types take {}", bytes,
         bytes - left);
  }
  // A tensor's steps keep their order, because their slopes fall.
  std::ranges::stable_sort(steps, std::ranges::greater(), &Step::slope);
  std::vector<bool> stopped(tensors.size());
  for (const Step& step : steps) {
    if (stopped[step.tensor]) continue;
    if (step.bytes > left) {
      stopped[step.tensor] = true;
      continue;
    }
    left -= step.bytes;
    chosen[step.tensor] = step.option;
  }
  Fill(tensors, left, chosen);
  return chosen;
}

}  // namespace longspan
