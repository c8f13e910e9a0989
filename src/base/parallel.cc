#include "base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>

#include "base/machine.h"

namespace longspan {
namespace {
std::atomic<int> thread_count{0};
}

void SetThreads(int threads) { thread_count.store(std::max(1, threads)); }

int Threads() {
  const int set = thread_count.load(std::memory_order_relaxed);
  return set > 0 ? set : PhysicalThreads();
}

void ParallelFor(std::int64_t n, const std::function<void(std::int64_t)>& body) {
  const int threads = static_cast<int>(std::min<std::int64_t>(n, Threads()));
  if (threads <= 1 || omp_in_parallel()) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  std::exception_ptr first;
  std::atomic<bool> failed{false};
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t i = 0; i < n; ++i) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      body(i);
    } catch (...) {
      // An exception must not leave an OpenMP region.
      if (!failed.exchange(true)) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace longspan
