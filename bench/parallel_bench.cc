// What a parallel loop costs in addition to its tasks: with workers that have just finished one, and with
// workers asleep.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "base/parallel.h"

namespace longspan {
namespace {

// Arguments: tasks, threads.
void EmptyLoop(benchmark::State& state) {
  SetThreads(static_cast<int>(state.range(1)));
  for (auto _ : state) ParallelFor(state.range(0), [](std::int64_t i) { benchmark::DoNotOptimize(i); });
}

void EmptyLoopAfterSleep(benchmark::State& state) {
  SetThreads(static_cast<int>(state.range(1)));
  for (auto _ : state) {
    state.PauseTiming();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    state.ResumeTiming();
    ParallelFor(state.range(0), [](std::int64_t i) { benchmark::DoNotOptimize(i); });
  }
}

// Tasks of some microseconds, as a small model has them. Arguments: tasks, threads, microseconds.
void BusyLoop(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  SetThreads(static_cast<int>(state.range(1)));
  const std::chrono::microseconds time(state.range(2));
  for (auto _ : state) {
    ParallelFor(state.range(0), [&](std::int64_t) {
      const auto end = Clock::now() + time;
      while (Clock::now() < end) {
      }
    });
  }
}

BENCHMARK(EmptyLoop)->UseRealTime()->Unit(benchmark::kMicrosecond)->Args({2, 1})->Args({2, 2})->Args({64, 2});
BENCHMARK(EmptyLoopAfterSleep)->UseRealTime()->Unit(benchmark::kMicrosecond)->Args({2, 2})->Iterations(1000);
BENCHMARK(BusyLoop)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond)
    ->Args({2, 2, 5})
    ->Args({2, 2, 50})
    ->Args({8, 2, 5});

}  // namespace
}  // namespace longspan
