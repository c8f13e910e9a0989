// How long something takes.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/cancel.h"

namespace longspan {

template <class Work>
double SecondsOf(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The seconds of the fastest of `repetitions` calls, because other work of the machine can only add time.
// Error(kCancelled) between two.
template <class Work>
double BestSeconds(int repetitions, Work&& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    ThrowIfCancelled();
    best = std::min(best, SecondsOf(work));
  }
  return best;
}

}  // namespace longspan
