// Matrix products and attention at the shapes of the embedded base model and of an 8B; FLOP/s is the counter to
// read. Run with --benchmark_filter=... as usual.
#include <benchmark/benchmark.h>

#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"

namespace longspan {
namespace {

Matrix RandomMatrix(std::int64_t rows, std::int64_t cols) {
  Matrix m(rows, cols);
  Random random(1, 0, RandomPurpose::kTest);
  for (float& x : m.span()) x = random.Normal();
  return m;
}

void CountFlops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

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

// Arguments: sequences, length, heads, kv_heads, head_dim, threads. Forward and backward; causal, so half the square.
void Attention(benchmark::State& state, bool backward) {
  const std::int64_t sequences = state.range(0), n = state.range(1);
  const AttentionShape shape{state.range(2), state.range(3), state.range(4), 0.125f};
  SetThreads(static_cast<int>(state.range(5)));
  const Kernels& kernels = ChooseKernels("auto");
  const std::int64_t q_dim = shape.heads * shape.head_dim, kv_dim = shape.kv_heads * shape.head_dim;
  const Matrix q = RandomMatrix(n, q_dim), k = RandomMatrix(n, kv_dim), v = RandomMatrix(n, kv_dim);
  Matrix out(n, q_dim), lse(shape.heads, n), dq(n, q_dim), dk(n, kv_dim), dv(n, kv_dim);
  const AttentionSequence one{q, KvView::OfRows(k, v, shape.head_dim), 0, {}, out, lse};
  const std::vector<AttentionSequence> all(static_cast<std::size_t>(sequences), one);
  const std::vector<AttentionBackwardSequence> gradients(all.size(), {one, q, dq, dk, dv});
  kernels.Attention(shape, all);
  for (auto _ : state) {
    if (backward) kernels.AttentionBackward(shape, gradients);
    else kernels.Attention(shape, all);
  }
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n);
  CountFlops(state, static_cast<double>(sequences * q_dim) * pairs * (backward ? 10 : 4));
}

BENCHMARK(MatMul)->UseRealTime()->Unit(benchmark::kMillisecond)
    ->Args({512, 768, 256, 1})->Args({8192, 768, 256, 1})->Args({8192, 768, 256, 2})->Args({8192, 256, 768, 1})
    ->Args({512, 4096, 4096, 1})->Args({1, 4096, 4096, 1});
BENCHMARK(MatMulWeightGradient)->UseRealTime()->Unit(benchmark::kMillisecond)
    ->Args({8192, 768, 256, 1})->Args({8192, 256, 768, 2});
BENCHMARK_CAPTURE(Attention, forward, false)->UseRealTime()->Unit(benchmark::kMillisecond)
    ->Args({2, 512, 4, 2, 64, 1})->Args({1, 4096, 4, 2, 64, 1})->Args({1, 4096, 32, 8, 128, 2});
BENCHMARK_CAPTURE(Attention, backward, true)->UseRealTime()->Unit(benchmark::kMillisecond)
    ->Args({2, 512, 4, 2, 64, 1});

}  // namespace
}  // namespace longspan
