// Attention over rows, as training has it, and over the pages of a KV cache: prefill in FLOP/s, decoding in
// bytes/s of the cache that is read. ReadMemory is what the machine can do.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/parallel.h"
#include "bench.h"
#include "kernels/kernels.h"

namespace longspan {
namespace {

// Arguments: sequences, length, heads, kv_heads, head_dim, threads. Causal, so half the square.
void Rows(benchmark::State& state, bool backward, Activations activations = Activations::kExact) {
  const std::int64_t sequences = state.range(0), n = state.range(1);
  const AttentionShape shape{state.range(2), state.range(3), state.range(4), 0.125f};
  SetThreads(static_cast<int>(state.range(5)));
  const Kernels& kernels = ChooseKernels("auto", activations);
  const std::int64_t q_dim = shape.heads * shape.head_dim, kv_dim = shape.kv_heads * shape.head_dim;
  const Matrix q = RandomMatrix(n, q_dim), k = RandomMatrix(n, kv_dim), v = RandomMatrix(n, kv_dim);
  Matrix out(n, q_dim), lse(shape.heads, n), dq(n, q_dim), dk(n, kv_dim), dv(n, kv_dim);
  const AttentionSequence one{{q, KvView::OfRows(k, v, shape.head_dim)}, out, lse};
  const std::vector<AttentionSequence> all(static_cast<std::size_t>(sequences), one);
  const std::vector<AttentionBackwardSequence> gradients(all.size(), {one, out, lse, q, dq, dk, dv});
  kernels.Attention(shape, all);
  for (auto _ : state) {
    if (backward)
      kernels.AttentionBackward(shape, gradients);
    else
      kernels.Attention(shape, all);
  }
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n);
  CountFlops(state, static_cast<double>(sequences * q_dim) * pairs * (backward ? 10 : 4));
}

// Memory as a cache should have it, in large pages: with small ones a fifth of decoding's time goes into
// finding them.
class HugeMemory {
 public:
  explicit HugeMemory(std::int64_t bytes) {
    constexpr std::size_t kHugePage = std::size_t{1} << 21;
    const std::size_t size = (static_cast<std::size_t>(bytes) + kHugePage - 1) / kHugePage * kHugePage;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)));
    madvise(data_.get(), size, MADV_HUGEPAGE);
  }
  std::byte* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

// Arguments: type, depth, queries, threads; the heads of an 8B (32/8 of 128). `sequences` of them at once.
void Pages(benchmark::State& state, const char* isa, std::int64_t sequences) {
  const AttentionShape shape{32, 8, 128, 1 / std::sqrt(128.0f)};
  const KvLayout layout{static_cast<Type>(state.range(0)), shape.kv_heads, shape.head_dim};
  const std::int64_t depth = state.range(1), n = state.range(2), length = depth + n;
  SetThreads(static_cast<int>(state.range(3)));
  const Kernels& kernels = ChooseKernels(isa);
  const std::int64_t pages = (length + kKvBlock - 1) / kKvBlock;
  HugeMemory storage(sequences * pages * layout.PageBytes());
  std::vector<std::byte*> pointers;
  for (std::int64_t p = 0; p < sequences * pages; ++p)
    pointers.push_back(storage.data() + p * layout.PageBytes());
  const Matrix kv = RandomMatrix(kKvBlock, shape.kv_heads * shape.head_dim),
               q = RandomMatrix(n, shape.heads * shape.head_dim);
  for (std::int64_t p = 0; p < sequences * pages; ++p)
    kernels.StoreKv(layout, kv, kv, p * kKvBlock, pointers);
  Matrix out(sequences * n, q.cols());
  std::vector<AttentionSequence> all;
  for (std::int64_t s = 0; s < sequences; ++s) {
    const auto own = std::span<std::byte* const>(pointers).subspan(s * pages, pages);
    all.push_back({{q, KvView::OfPages(layout, own, length), depth}, longspan::Rows(out).Slice(s * n, n)});
  }
  for (auto _ : state) kernels.Attention(shape, all);
  const double pairs =
      static_cast<double>(n) * (static_cast<double>(depth) + 0.5 * static_cast<double>(n + 1));
  CountFlops(state, static_cast<double>(sequences * q.cols()) * pairs * 4);
  CountBytes(state, static_cast<double>(sequences * length * 2 * shape.kv_heads * layout.RowBytes()));
  state.SetLabel(std::string(Traits(layout.type).name));
}

// Arguments: type, threads.
void StoreKv(benchmark::State& state) {
  const KvLayout layout{static_cast<Type>(state.range(0)), 8, 128};
  SetThreads(static_cast<int>(state.range(1)));
  const Kernels& kernels = ChooseKernels("auto");
  const Matrix kv = RandomMatrix(512, 1024);
  AlignedVector<std::byte> storage(static_cast<std::size_t>(8 * layout.PageBytes()));
  std::vector<std::byte*> pointers;
  for (std::int64_t p = 0; p < 8; ++p) pointers.push_back(storage.data() + p * layout.PageBytes());
  for (auto _ : state) kernels.StoreKv(layout, kv, kv, 0, pointers);
  CountBytes(state, 2.0 * 512 * 1024 * sizeof(float));
  state.SetLabel(std::string(Traits(layout.type).name));
}

// What decoding is to be compared with: a sum over far more memory than any cache holds.
void ReadMemory(benchmark::State& state) {
  SetThreads(static_cast<int>(state.range(0)));
  const std::int64_t n = std::int64_t{1} << 27;
  const AlignedVector<float> memory(static_cast<std::size_t>(n), 1.0f);
  const Kernels& kernels = ChooseKernels("auto");
  double sum = 0;
  for (auto _ : state) sum += kernels.SumOfSquares(memory);
  benchmark::DoNotOptimize(sum);
  CountBytes(state, static_cast<double>(n) * sizeof(float));
}

// The demo's model and SmolLM2, an 8B's heads.
void BackwardArguments(benchmark::internal::Benchmark* b) {
  for (const int threads : {1, 2}) {
    b->Args({3, 1536, 4, 2, 64, threads});
    b->Args({1, 2048, 9, 3, 64, threads});
  }
  b->Args({1, 2048, 4, 1, 128, 1});
}

void PrefillArguments(benchmark::internal::Benchmark* b) {
  for (const Type type : {Type::kF32, Type::kBF16, Type::kQ8_0, Type::kQ4_0})
    b->Args({static_cast<int>(type), 8192, 512, 1});
  for (const int threads : {1, 2}) b->Args({static_cast<int>(Type::kBF16), 32768, 512, threads});
}

void DecodeArguments(benchmark::internal::Benchmark* b) {
  for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kQ4_0}) {
    for (const int depth : {8192, 32768}) {
      for (const int threads : {1, 2}) b->Args({static_cast<int>(type), depth, 1, threads});
    }
  }
  for (const int queries : {2, 4}) b->Args({static_cast<int>(Type::kBF16), 32768, queries, 2});
}

BENCHMARK_CAPTURE(Rows, forward, false)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({2, 512, 4, 2, 64, 1})
    ->Args({1, 4096, 4, 2, 64, 1})
    ->Args({1, 4096, 32, 8, 128, 1});
BENCHMARK_CAPTURE(Rows, backward, true)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Apply(BackwardArguments);
BENCHMARK_CAPTURE(Rows, backward_bf16, true, Activations::kBf16)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Apply(BackwardArguments);
BENCHMARK_CAPTURE(Pages, prefill, "auto", 1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Apply(PrefillArguments);
BENCHMARK_CAPTURE(Pages, decode, "auto", 1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Apply(DecodeArguments);
BENCHMARK_CAPTURE(Pages, decode_batch, "auto", 8)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({static_cast<int>(Type::kBF16), 4096, 1, 2});
BENCHMARK_CAPTURE(Pages, prefill_avx2, "avx2", 1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({static_cast<int>(Type::kBF16), 8192, 512, 1});
BENCHMARK_CAPTURE(Pages, decode_avx2, "avx2", 1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->Args({static_cast<int>(Type::kBF16), 32768, 1, 1})
    ->Args({static_cast<int>(Type::kBF16), 32768, 1, 2})
    ->Args({static_cast<int>(Type::kQ8_0), 32768, 1, 2});
BENCHMARK(StoreKv)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond)
    ->Args({static_cast<int>(Type::kBF16), 1})
    ->Args({static_cast<int>(Type::kQ8_0), 1})
    ->Args({static_cast<int>(Type::kQ4_0), 1});
BENCHMARK(ReadMemory)->UseRealTime()->Unit(benchmark::kMillisecond)->Arg(1)->Arg(2);

}  // namespace
}  // namespace longspan
