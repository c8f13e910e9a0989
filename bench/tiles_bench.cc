// The work that feeds the tile unit, which can be measured without one. It is unpacking weights (weights a
// second on one core) and the softmax between attention's products (scores a second).
#include <benchmark/benchmark.h>

#include "base/memory.h"
#include "kernels/bf16/tiles.h"
#include "kernels/bf16/unpack.h"
#include "kernels/testing/random_blocks.h"

namespace longspan {
namespace {

void Unpack(benchmark::State& state) {
  const Type type = static_cast<Type>(state.range(0));
  if (!bf16::VectorsSupported()) return state.SkipWithError("no AVX-512 with BF16");
  state.SetLabel(std::string(Traits(type).name));
  // Reads as a product does: 32 rows of 512 columns, from a weight that only the last cache holds.
  constexpr std::int64_t kRows = 4096, kCols = 4096, kPiece = 256;
  const Tensor w = RandomBlocks(type, kRows, kCols, 1);
  AlignedVector<std::uint16_t> to(32 * 512);
  std::int64_t row = 0, column = 0, weights = 0;
  const std::int64_t piece_bytes = RowBytes(type, kPiece), row_bytes = w.row_bytes();
  const std::byte* from = w.bytes().data();
  for (auto _ : state) {
    for (std::int64_t i = 0; i < 32; ++i) {
      for (std::int64_t p = 0; p < 2; ++p) {
        bf16::UnpackRow(type, from + (row + i) * row_bytes + (column / kPiece + p) * piece_bytes, kPiece,
                        to.data() + (i / 16 * 16 + p * 8) * 512 + i % 16 * 32, 512);
      }
    }
    benchmark::DoNotOptimize(to.data());
    weights += 32 * 512;
    column += 512;
    if (column == kCols) {
      column = 0;
      row = (row + 32) % kRows;
    }
  }
  state.counters["weights"] = benchmark::Counter(static_cast<double>(weights), benchmark::Counter::kIsRate);
}

BENCHMARK(Unpack)
    ->Arg(static_cast<int>(Type::kF32))
    ->Arg(static_cast<int>(Type::kF16))
    ->Arg(static_cast<int>(Type::kBF16))
    ->Arg(static_cast<int>(Type::kQ8_0))
    ->Arg(static_cast<int>(Type::kQ4_0))
    ->Arg(static_cast<int>(Type::kQ4_K))
    ->Arg(static_cast<int>(Type::kQ5_K))
    ->Arg(static_cast<int>(Type::kQ6_K))
    ->Arg(static_cast<int>(Type::kQ3_K));

}  // namespace
}  // namespace longspan
