// Products of quantised weights at an 8B's shape (14,336 x 4,096), exact and with activations rounded to 8
// bits, the weights as a file has them or packed. For one row the counter to read is bytes/s (of packed
// weights), for many FLOP/s.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/huge_pages.h"
#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "kernels/testing/random_blocks.h"

namespace longspan {
namespace {

// Several equal weights, used one after another, because a single one would stay in the cache.
const std::vector<Tensor>& Weights(Type type) {
  static std::map<Type, std::vector<Tensor>> made;
  std::vector<Tensor>& weights = made[type];
  if (!weights.empty()) return weights;
  weights.push_back(RandomBlocks(type, 14336, 4096, 0));
  for (int i = 1; i < 8; ++i) {
    weights.push_back(Tensor::Allocate(type, weights.front().shape()));
    std::ranges::copy(weights.front().bytes(), weights.back().mutable_bytes().begin());
  }
  return weights;
}

// The same weights, packed.
const std::vector<Tensor>& PackedWeights(Type type, const Kernels& kernels) {
  static std::map<std::pair<Type, std::string>, std::vector<Tensor>> made;
  std::vector<Tensor>& weights = made[{type, kernels.name()}];
  if (!weights.empty()) return weights;
  for (Tensor weight : Weights(type)) {
    const auto bytes = static_cast<std::size_t>(kernels.PackedBytes(weight));
    const auto pages = std::make_shared<const HugePages>(bytes);
    weight.SetPacking(kernels.Pack(weight, pages->bytes().first(bytes), pages));
    weights.push_back(weight);
  }
  return weights;
}

enum class Order { kFile, kPacked };

// Arguments: type, rows, threads.
void Product(benchmark::State& state, const char* isa, Activations activations, Order order) {
  const auto type = static_cast<Type>(state.range(0));
  const std::int64_t n = state.range(1);
  SetThreads(static_cast<int>(state.range(2)));
  const Kernels& kernels = ChooseKernels(isa, activations);
  const std::vector<Tensor>& weights = order == Order::kPacked ? PackedWeights(type, kernels) : Weights(type);
  Matrix x(n, 4096), y(n, 14336);
  Random random(1, 0, RandomPurpose::kTest);
  for (float& v : x.span()) v = random.Normal();
  std::size_t next = 0;
  for (auto _ : state) kernels.MatMul(x, weights[next++ % weights.size()], y, Store::kSet);
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["FLOP/s"] = rate(2.0 * static_cast<double>(n) * 14336 * 4096);
  state.counters["bytes/s"] = rate(static_cast<double>(weights[0].bytes().size()));
  state.SetLabel(std::string(Traits(type).name));
}

void Shapes(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const Type type : {Type::kQ4_K, Type::kQ5_K, Type::kQ6_K, Type::kQ8_0, Type::kQ4_0}) {
    for (const std::int64_t n : {1, 2, 4, 8, 16, 512}) {
      for (const std::int64_t threads : {1, 2}) b->Args({static_cast<std::int64_t>(type), n, threads});
    }
  }
}

BENCHMARK_CAPTURE(Product, int8, "auto", Activations::kInt8, Order::kFile)->Apply(Shapes);
BENCHMARK_CAPTURE(Product, packed, "auto", Activations::kInt8, Order::kPacked)->Apply(Shapes);
BENCHMARK_CAPTURE(Product, int8_avx2, "avx2", Activations::kInt8, Order::kFile)->Apply(Shapes);
BENCHMARK_CAPTURE(Product, packed_avx2, "avx2", Activations::kInt8, Order::kPacked)->Apply(Shapes);
BENCHMARK_CAPTURE(Product, exact, "auto", Activations::kExact, Order::kFile)->Apply(Shapes);

}  // namespace
}  // namespace longspan
