// Fused multiply-adds and reading memory, for each instruction set that the vector kernels are compiled for.
#include "benchmark/peak_loops.h"

#include "base/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "benchmark/peak_loops.cc"
#include <hwy/foreach_target.h>
// Highway's include loop must come first.
#include <hwy/highway.h>

#include <numeric>

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Two units with a latency of four cycles need eight sums; AVX2's sixteen registers hold twelve and both
// factors.
inline constexpr int kSums = 12;

using FloatTag = hn::ScalableTag<float>;
inline constexpr double kFmaOperations = 2.0 * kSums * HWY_MAX_BYTES / sizeof(float);

HWY_NOINLINE double FmaLoop(std::int64_t steps) {
  const FloatTag d;
  const auto half = hn::Set(d, 0.5f), one = hn::Set(d, 1.0f);
  hn::Vec<FloatTag> sums[kSums];
  // The sums begin differently, because the compiler would merge sums that are alike.
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(sums[i], half, one);
  }
  auto total = sums[0];
#pragma GCC unroll 12
  for (int i = 1; i < kSums; ++i) total = hn::Add(total, sums[i]);
  return hn::GetLane(hn::SumOfLanes(d, total));
}

// Two streams, each over half of the data, because the prefetcher of a stream stops at the end of a page.
HWY_NOINLINE std::uint64_t ReadWords(const std::byte* data, std::int64_t bytes) {
  const hn::ScalableTag<std::uint64_t> d;
  constexpr auto kWords = static_cast<std::int64_t>(HWY_MAX_BYTES / sizeof(std::uint64_t));
  const std::int64_t half = bytes / 2 / static_cast<std::int64_t>(sizeof(std::uint64_t));
  const auto* first = reinterpret_cast<const std::uint64_t*>(data);
  const std::uint64_t* second = first + half;
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  for (std::int64_t i = 0; i < half; i += 2 * kWords) {
    sum0 = hn::Add(sum0, hn::Load(d, first + i));
    sum1 = hn::Add(sum1, hn::Load(d, first + i + kWords));
    sum2 = hn::Add(sum2, hn::Load(d, second + i));
    sum3 = hn::Add(sum3, hn::Load(d, second + i + kWords));
  }
  HWY_ALIGN std::uint64_t lanes[kWords];
  hn::Store(hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)), d, lanes);
  // Not SumOfLanes: it adds signed numbers, which must not overflow.
  return std::accumulate(lanes, lanes + kWords, std::uint64_t{0});
}

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace longspan {

std::vector<PeakLoop> FmaLoops() {
  std::vector<PeakLoop> loops;
#if HWY_ARCH_X86
  const std::int64_t supported = hwy::SupportedTargets();
  if (supported & HWY_AVX3) {
    loops.push_back({PeakKind::kFma, "avx512", "vfmadd, 512 bits", N_AVX3::kFmaOperations, N_AVX3::FmaLoop});
  }
  if (supported & HWY_AVX2) {
    loops.push_back({PeakKind::kFma, "avx2", "vfmadd, 256 bits", N_AVX2::kFmaOperations, N_AVX2::FmaLoop});
  }
#endif
  return loops;
}

ReadLoop BestReadLoop() {
#if HWY_ARCH_X86
  const std::int64_t supported = hwy::SupportedTargets();
  if (supported & HWY_AVX3) return N_AVX3::ReadWords;
  if (supported & HWY_AVX2) return N_AVX2::ReadWords;
#endif
  return HWY_STATIC_DISPATCH(ReadWords);
}

}  // namespace longspan
#endif
