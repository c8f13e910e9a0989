#include "benchmark/memory_reading.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/error.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/peak_loops.h"
#include "benchmark/seconds.h"

namespace longspan {
namespace {

// Zeroed memory in large pages where the system has them, because small ones would measure address
// translation too.
std::unique_ptr<std::byte, std::function<void(std::byte*)>> MapMemory(std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    Fail(ErrorKind::kOutOfMemory, "no {} MiB of memory to measure reading with", bytes >> 20);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return {static_cast<std::byte*>(data), [bytes](std::byte* p) { ::munmap(p, bytes); }};
}

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
    : bytes_(InWholeShares(bytes > 0 ? bytes : EnoughBytes())),
      memory_(MapMemory(static_cast<std::size_t>(bytes_))) {
  // Writes every page, because pages that were never written are all one page of zeros.
  const std::int64_t share = bytes_ / Threads();
  ParallelFor(Threads(),
              [&](std::int64_t i) { std::fill_n(memory_.get() + i * share, share, std::byte{1}); });
}

double MemoryReading::Pass(int threads) const {
  const ReadLoop read = BestReadLoop();
  const std::int64_t share = bytes_ / threads;
  const double seconds = SecondsOf([&] {
    ParallelFor(threads, [&](std::int64_t i) {
      ignored_sum = static_cast<double>(read(memory_.get() + i * share, share));
    });
  });
  return static_cast<double>(share * threads) / seconds;
}

}  // namespace longspan
