#include "benchmark/peaks.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"
#include "benchmark/memory_reading.h"
#include "benchmark/peak_loops.h"
#include "benchmark/seconds.h"

namespace longspan {
namespace {

// Takes results that nobody reads, so that the compiler still computes them.
thread_local volatile double ignored_sum;

std::vector<PeakLoop> AllLoops() {
  std::vector<PeakLoop> loops = TileLoops();
  for (const auto& more : {Bf16Loops(), Int8Loops(), FmaLoops()})
    loops.insert(loops.end(), more.begin(), more.end());
  return loops;
}

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

Peak MeasureReading(const PeakOptions& options) {
  const MemoryReading memory(options.read_bytes);
  const auto rate = [&](int threads) {
    double best = 0;
    for (int i = 0; i < options.runs; ++i) {
      ThrowIfCancelled();
      best = std::max(best, memory.Pass(threads));
    }
    return best;
  };
  Peak peak{PeakKind::kMemoryReading, "", "", rate(1), 0};
  peak.all_threads = Threads() == 1 ? peak.one_thread : rate(Threads());
  return peak;
}

// Each includes those before it.
constexpr std::array<std::string_view, 4> kIsas{"reference", "avx2", "avx512", "amx"};

}  // namespace

std::string_view Name(PeakKind kind) {
  switch (kind) {
    case PeakKind::kTileBf16: return "tile bf16";
    case PeakKind::kTileInt8: return "tile int8";
    case PeakKind::kBf16Dot: return "bf16 dot";
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
  const std::vector<PeakLoop> loops = AllLoops();
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

double RateNow(const Peak& peak) {
  constexpr double kSeconds = 0.02;
  const std::vector<PeakLoop> loops = AllLoops();
  const auto loop = std::ranges::find_if(loops, [&](const PeakLoop& l) {
    return l.kind == peak.kind && l.isa == peak.isa && l.instruction == peak.instruction;
  });
  if (loop == loops.end()) Fail(ErrorKind::kInternal, "no loop for the peak of {}", Name(peak.kind));
  const auto steps = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(kSeconds * peak.all_threads / Threads() / loop->operations));
  const double seconds =
      SecondsOf([&] { ParallelFor(Threads(), [&](std::int64_t) { ignored_sum = loop->run(steps); }); });
  return Threads() * static_cast<double>(steps) * loop->operations / seconds;
}

bool Allows(std::string_view isa, const Peak& peak) {
  if (isa == "auto" || peak.isa.empty()) return true;
  return std::ranges::find(kIsas, isa) >= std::ranges::find(kIsas, peak.isa);
}

const Peak* ProductPeak(std::span<const Peak> peaks, std::string_view isa, Activations activations,
                        bool quantised) {
  const auto fastest = [&](std::initializer_list<PeakKind> kinds) {
    const Peak* best = nullptr;
    for (const Peak& peak : peaks) {
      if (std::ranges::find(kinds, peak.kind) == kinds.end() || !Allows(isa, peak)) continue;
      if (best == nullptr || peak.all_threads > best->all_threads) best = &peak;
    }
    return best;
  };
  if (activations == Activations::kExact) return fastest({PeakKind::kFma});
  if (const Peak* tiles = fastest({PeakKind::kTileBf16})) return tiles;
  if (quantised && activations == Activations::kInt8) {
    if (const Peak* bytes = fastest({PeakKind::kInt8Dot})) return bytes;
  }
  return fastest({PeakKind::kBf16Dot, PeakKind::kFma});
}

const Peak* MemoryPeak(std::span<const Peak> peaks) {
  const auto found = std::ranges::find(peaks, PeakKind::kMemoryReading, &Peak::kind);
  return found == peaks.end() ? nullptr : &*found;
}

}  // namespace longspan
