#include "benchmark/peaks.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>

#include "base/cancel.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "benchmark/peak_loops.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsOf(const std::function<void()>& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double BestSeconds(int runs, const std::function<void()>& work) {
  double best = SecondsOf(work);
  for (int i = 1; i < runs; ++i) {
    ThrowIfCancelled();
    best = std::min(best, SecondsOf(work));
  }
  return best;
}

// Takes results that nobody reads, so that the compiler still computes them.
thread_local volatile double ignored_sum;

// Steps that take about `seconds` on one thread.
std::int64_t StepsFor(const PeakLoop& loop, double seconds) {
  constexpr double kEnoughToTell = 0.01;
  std::int64_t steps = 1 << 12;
  for (;;) {
    const double taken = SecondsOf([&] { ignored_sum = loop.run(steps); });
    if (taken >= kEnoughToTell)
      return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps * (seconds / taken)));
    steps *= 2;
  }
}

Peak MeasureLoop(const PeakLoop& loop, const PeakOptions& options) {
  const std::int64_t steps = StepsFor(loop, options.seconds);
  const auto rate = [&](int threads) {
    const double seconds = BestSeconds(
        options.runs, [&] { ParallelFor(threads, [&](std::int64_t) { ignored_sum = loop.run(steps); }); });
    return threads * static_cast<double>(steps) * loop.operations / seconds;
  };
  Peak peak{loop.kind, loop.isa, loop.instruction, rate(1), 0};
  peak.all_threads = Threads() == 1 ? peak.one_thread : rate(Threads());
  return peak;
}

// Zeroed memory in large pages where the system has them, because small ones would measure address
// translation too.
std::unique_ptr<std::byte, std::function<void(std::byte*)>> MapMemory(std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED)
    Fail(ErrorKind::kOutOfMemory, "no {} MiB of memory to measure reading with", bytes >> 20);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return {static_cast<std::byte*>(data), [bytes](std::byte* p) { ::munmap(p, bytes); }};
}

Peak MeasureReading(const PeakOptions& options) {
  std::int64_t bytes = options.read_bytes;
  if (bytes <= 0) {
    // Of a buffer four times as large as the cache, at most a quarter can still be in the cache from the pass
    // before.
    bytes = std::max<std::int64_t>(std::int64_t{1} << 30, 4 * LastLevelCacheBytes());
    bytes = std::min(bytes, static_cast<std::int64_t>(MemoryBytes() / 4));
  }
  const int threads = Threads();
  const std::int64_t unit = kReadUnit * threads;
  bytes = (bytes + unit - 1) / unit * unit;
  const auto memory = MapMemory(static_cast<std::size_t>(bytes));
  const ReadLoop read = BestReadLoop();
  const auto pass = [&](int shares) {
    const std::int64_t share = bytes / shares;
    ParallelFor(shares, [&](std::int64_t i) {
      ignored_sum = static_cast<double>(read(memory.get() + i * share, share));
    });
  };
  // Writes every page, because pages that were never written are all one page of zeros.
  ParallelFor(threads, [&](std::int64_t i) {
    std::fill_n(memory.get() + i * (bytes / threads), bytes / threads, std::byte{1});
  });
  const auto rate = [&](int shares) {
    return static_cast<double>(bytes) / BestSeconds(options.runs, [&] { pass(shares); });
  };
  Peak peak{PeakKind::kMemoryReading, "", "", rate(1), 0};
  peak.all_threads = threads == 1 ? peak.one_thread : rate(threads);
  return peak;
}

// Each includes those before it.
constexpr std::array<std::string_view, 4> kIsas{"reference", "avx2", "avx512", "amx"};

}  // namespace

std::string_view Name(PeakKind kind) {
  switch (kind) {
    case PeakKind::kTileBf16: return "tile bf16";
    case PeakKind::kTileInt8: return "tile int8";
    case PeakKind::kInt8Dot: return "int8 dot";
    case PeakKind::kFma: return "float FMA";
    case PeakKind::kMemoryReading: return "memory reading";
  }
  return "?";
}

std::string_view Unit(PeakKind kind) {
  switch (kind) {
    case PeakKind::kTileInt8:
    case PeakKind::kInt8Dot: return "OP";
    case PeakKind::kMemoryReading: return "B";
    default: return "FLOP";
  }
}

std::vector<Peak> MeasurePeaks(const PeakOptions& options, Progress& progress) {
  std::vector<PeakLoop> loops = TileLoops();
  for (const auto& more : {Int8Loops(), FmaLoops()}) loops.insert(loops.end(), more.begin(), more.end());
  std::vector<Peak> peaks;
  const auto count = static_cast<std::int64_t>(loops.size()) + 1;
  progress.Start("machine", count, "peaks");
  for (const PeakLoop& loop : loops) {
    ThrowIfCancelled();
    peaks.push_back(MeasureLoop(loop, options));
    progress.Update(std::ssize(peaks), Name(loop.kind));
  }
  ThrowIfCancelled();
  peaks.push_back(MeasureReading(options));
  progress.Update(count, Name(PeakKind::kMemoryReading));
  progress.Finish();
  return peaks;
}

bool Allows(std::string_view isa, const Peak& peak) {
  if (isa == "auto" || peak.isa.empty()) return true;
  return std::ranges::find(kIsas, isa) >= std::ranges::find(kIsas, peak.isa);
}

const Peak* ProductPeak(std::span<const Peak> peaks, std::string_view isa, bool int8) {
  for (const PeakKind kind : {PeakKind::kTileBf16, PeakKind::kInt8Dot, PeakKind::kFma}) {
    if (kind == PeakKind::kInt8Dot && !int8) continue;
    const Peak* best = nullptr;
    for (const Peak& peak : peaks) {
      if (peak.kind != kind || !Allows(isa, peak)) continue;
      if (best == nullptr || peak.all_threads > best->all_threads) best = &peak;
    }
    if (best != nullptr) return best;
  }
  return nullptr;
}

const Peak* MemoryPeak(std::span<const Peak> peaks) {
  const auto found = std::ranges::find(peaks, PeakKind::kMemoryReading, &Peak::kind);
  return found == peaks.end() ? nullptr : &*found;
}

}  // namespace longspan
