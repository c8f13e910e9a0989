// What the benchmarks share.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

#include "base/random.h"
#include "tensor/rows.h"

namespace longspan {

inline Matrix RandomMatrix(std::int64_t rows, std::int64_t cols) {
  Matrix m(rows, cols);
  Random random(1, 0, RandomPurpose::kTest);
  for (float& x : m.span()) x = random.Normal();
  return m;
}

inline void CountFlops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

inline void CountBytes(benchmark::State& state, double bytes) {
  state.counters["bytes/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace longspan
