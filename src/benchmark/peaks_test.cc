// Rates cannot be known beforehand, but these tests show that the loops do the work that is counted.
#include "benchmark/peaks.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/cancel.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "benchmark/peak_loops.h"
#include "kernels/kernels.h"

namespace longspan {
namespace {

TEST(PeakLoops, EveryFmaIsDone) {
  for (const PeakLoop& loop : FmaLoops()) {
    const double elements = loop.operations / 2, start = loop.run(0);
    EXPECT_GT(start, 0);
    // x becomes x / 2 + 1 in each step; all of it is exact for a few steps.
    for (const int steps : {1, 2, 7}) {
      const double shrink = std::ldexp(1.0, -steps);
      EXPECT_EQ(loop.run(steps), start * shrink + 2 * elements * (1 - shrink)) << loop.instruction;
    }
  }
}

TEST(PeakLoops, EveryProductOfPairsAndBytesIsDone) {
  for (const auto& loops : {Int8Loops(), Bf16Loops(), TileLoops()}) {
    for (const PeakLoop& loop : loops) {
      const double product =
          loop.kind == PeakKind::kTileBf16 || loop.kind == PeakKind::kBf16Dot ? kBf16Product : kInt8Product;
      for (const int steps : {1, 3, 100}) {
        EXPECT_EQ(loop.run(steps) - loop.run(0), steps * loop.operations / 2 * product) << loop.instruction;
      }
    }
  }
}

TEST(PeakLoops, EveryByteIsRead) {
  AlignedVector<std::byte> data(3 * kReadUnit);
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < data.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = i * 0x9e3779b97f4a7c15u;
    std::memcpy(&data[i], &word, sizeof word);
    expected += word;
  }
  EXPECT_EQ(BestReadLoop()(data.data(), std::ssize(data)), expected);
}

PeakOptions Quick() { return {.seconds = 0.002, .runs = 2, .read_bytes = 1 << 20}; }

TEST(Peaks, AllThatTheMachineHasIsMeasured) {
  const std::vector<Peak> peaks = MeasurePeaks(Quick());
  for (const Peak& peak : peaks) {
    EXPECT_GT(peak.one_thread, 1e8) << Name(peak.kind) << " " << peak.instruction;
    EXPECT_GT(peak.all_threads, 1e8) << Name(peak.kind) << " " << peak.instruction;
    EXPECT_LT(peak.all_threads, 1e17) << Name(peak.kind) << " " << peak.instruction;
  }
  ASSERT_NE(MemoryPeak(peaks), nullptr);
  EXPECT_EQ(MemoryPeak(peaks)->kind, PeakKind::kMemoryReading);
  // Whatever vector kernels run here have a peak of their own instruction set.
  for (const std::string& isa : AvailableKernels()) {
    if (isa == "reference") continue;
    EXPECT_TRUE(std::ranges::any_of(peaks, [&](const Peak& p) { return p.isa == isa; })) << isa;
    EXPECT_NE(ProductPeak(peaks, isa, Activations::kInt8, true), nullptr) << isa;
  }
}

TEST(Peaks, OneThreadIsAllOfOne) {
  const int threads = Threads();
  SetThreads(1);
  for (const Peak& peak : MeasurePeaks(Quick()))
    EXPECT_EQ(peak.one_thread, peak.all_threads) << Name(peak.kind);
  SetThreads(threads);
}

// The peaks of an invented machine.
const std::vector<Peak> kPeaks{
    {PeakKind::kTileBf16, "amx", "", 4, 8},   {PeakKind::kTileInt8, "amx", "", 8, 16},
    {PeakKind::kInt8Dot, "avx512", "", 2, 4}, {PeakKind::kInt8Dot, "avx2", "slow", 1, 2},
    {PeakKind::kInt8Dot, "avx2", "", 1, 3},   {PeakKind::kFma, "avx2", "", 1, 2},
    {PeakKind::kMemoryReading, "", "", 1, 2}, {PeakKind::kBf16Dot, "avx512", "", 2, 3}};

TEST(Peaks, ProductsAreHeldAgainstTheBestThatTheirInstructionSetAllows) {
  const auto int8 = [](std::string_view isa) { return ProductPeak(kPeaks, isa, Activations::kInt8, true); };
  EXPECT_EQ(int8("auto"), &kPeaks[0]);
  EXPECT_EQ(int8("amx"), &kPeaks[0]);
  EXPECT_EQ(int8("avx512"), &kPeaks[2]);
  EXPECT_EQ(int8("avx2"), &kPeaks[4]);
  EXPECT_EQ(int8("reference"), nullptr);
  const auto of_floats = [](std::string_view isa, Activations activations) {
    return ProductPeak(kPeaks, isa, activations, false);
  };
  EXPECT_EQ(of_floats("auto", Activations::kInt8), &kPeaks[0]);
  EXPECT_EQ(of_floats("avx512", Activations::kInt8), &kPeaks[7]);
  EXPECT_EQ(of_floats("avx512", Activations::kBf16), &kPeaks[7]);
  EXPECT_EQ(of_floats("avx2", Activations::kBf16), &kPeaks[5]);
  EXPECT_EQ(of_floats("auto", Activations::kExact), &kPeaks[5]) << "exact products never run on tiles";
  // Where pairs are slower than single floats, products stay with those.
  std::vector<Peak> slow_pairs = kPeaks;
  slow_pairs.push_back({PeakKind::kFma, "avx512", "", 4, 7});
  EXPECT_EQ(ProductPeak(slow_pairs, "avx512", Activations::kInt8, false), &slow_pairs.back());
  EXPECT_EQ(MemoryPeak(kPeaks), &kPeaks[6]);
  EXPECT_EQ(MemoryPeak(std::span(kPeaks).first(6)), nullptr);
}

TEST(Peaks, CanBeCancelled) {
  RequestCancel();
  try {
    MeasurePeaks(Quick());
    ADD_FAILURE() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
  }
  ClearCancel();
}

}  // namespace
}  // namespace longspan
