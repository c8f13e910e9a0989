// How long something takes, by repeating it.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/cancel.h"

namespace longspan {

// The seconds of the fastest of `repetitions` calls, because other work of the machine can only add time.
// Error(kCancelled) between two.
template <class Work>
double BestSeconds(int repetitions, Work&& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    ThrowIfCancelled();
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace longspan
