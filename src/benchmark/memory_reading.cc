#include "benchmark/memory_reading.h"

#include <algorithm>

#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/peak_loops.h"
#include "benchmark/seconds.h"

namespace longspan {
namespace {

// Of a buffer four times as large as the cache, at most a quarter can still be in the cache from the pass
// before.
std::int64_t EnoughBytes() {
  const std::int64_t bytes = std::max<std::int64_t>(std::int64_t{1} << 30, 4 * LastLevelCacheBytes());
  return std::min(bytes, static_cast<std::int64_t>(MemoryBytes() / 4));
}

// Takes sums that nobody reads, so that the compiler still computes them.
thread_local volatile double ignored_sum;

std::int64_t InWholeShares(std::int64_t bytes) {
  const std::int64_t unit = kReadUnit * Threads();
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

MemoryReading::MemoryReading(std::int64_t bytes)
    : pages_(static_cast<std::size_t>(InWholeShares(bytes > 0 ? bytes : EnoughBytes()))) {
  // Writes every page, because pages that were never written are all one page of zeros.
  const std::int64_t share = std::ssize(pages_.bytes()) / Threads();
  ParallelFor(Threads(),
              [&](std::int64_t i) { std::fill_n(pages_.bytes().data() + i * share, share, std::byte{1}); });
}

double MemoryReading::Pass(int threads) const {
  const ReadLoop read = BestReadLoop();
  const std::int64_t share = std::ssize(pages_.bytes()) / threads;
  const double seconds = SecondsOf([&] {
    ParallelFor(threads, [&](std::int64_t i) {
      ignored_sum = static_cast<double>(read(pages_.bytes().data() + i * share, share));
    });
  });
  return static_cast<double>(share * threads) / seconds;
}

}  // namespace longspan
