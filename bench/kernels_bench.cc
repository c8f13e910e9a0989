// Matrix products at the shapes of the embedded base model and of an 8B; FLOP/s is the counter to
// read. Run with --benchmark_filter=... as usual.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "bench.h"
#include "kernels/kernels.h"

namespace longspan {
namespace {

// Arguments: rows, out, in, threads.
void MatMul(benchmark::State& state) {
  const std::int64_t n = state.range(0), out = state.range(1), in = state.range(2);
  SetThreads(static_cast<int>(state.range(3)));
  const Kernels& kernels = ChooseKernels("auto");
  const Tensor w = Tensor::FromRows(RandomMatrix(out, in));
  const Matrix x = RandomMatrix(n, in);
  Matrix y(n, out);
  for (auto _ : state) kernels.MatMul(x, w, y, Store::kSet);
  CountFlops(state, 2.0 * static_cast<double>(n * out * in));
}

void MatMulWeightGradient(benchmark::State& state) {
  const std::int64_t n = state.range(0), out = state.range(1), in = state.range(2);
  SetThreads(static_cast<int>(state.range(3)));
  const Kernels& kernels = ChooseKernels("auto");
  const Matrix x = RandomMatrix(n, in), dy = RandomMatrix(n, out);
  Matrix dw(out, in);
  for (auto _ : state) kernels.MatMulWeightGradient(dy, x, dw);
  CountFlops(state, 2.0 * static_cast<double>(n * out * in));
}

BENCHMARK(MatMul)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({512, 768, 256, 1})
    ->Args({8192, 768, 256, 1})
    ->Args({8192, 768, 256, 2})
    ->Args({8192, 256, 768, 1})
    ->Args({512, 4096, 4096, 1})
    ->Args({1, 4096, 4096, 1});
BENCHMARK(MatMulWeightGradient)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({8192, 768, 256, 1})
    ->Args({8192, 256, 768, 2});

}  // namespace
}  // namespace longspan
