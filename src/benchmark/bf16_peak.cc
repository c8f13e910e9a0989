// Dot products of pairs of BF16 on vectors (AVX512-BF16).
#include "benchmark/peak_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/float16.h"

namespace longspan {
namespace {

constexpr int kSums = 12, kLanes = 16;

// Each lane adds up two products.
constexpr double kOperations = 2.0 * 2 * kLanes * kSums;

__attribute__((target("avx512f,avx512bw,avx512bf16"))) double Pairs512(std::int64_t steps) {
  const auto one = static_cast<std::int16_t>(F32ToBF16(1.0f));
  const auto product = static_cast<std::int16_t>(F32ToBF16(static_cast<float>(kBf16Product)));
  const auto a = reinterpret_cast<__m512bh>(_mm512_set1_epi16(one));
  const auto b = reinterpret_cast<__m512bh>(_mm512_set1_epi16(product));
  __m512 sums[kSums];
  // The sums begin differently, because the compiler would merge sums that are alike.
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
  }
  alignas(64) float out[kSums][kLanes];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) _mm512_store_ps(out[i], sums[i]);
  double total = 0;
  for (const auto& sum : out) {
    for (const float x : sum) total += static_cast<double>(x);
  }
  return total;
}

}  // namespace

std::vector<PeakLoop> Bf16Loops() {
  std::vector<PeakLoop> loops;
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw")) {
    loops.push_back({PeakKind::kBf16Dot, "avx512", "vdpbf16ps, 512 bits", kOperations, Pairs512});
  }
  return loops;
}

}  // namespace longspan

#else
namespace longspan {
std::vector<PeakLoop> Bf16Loops() { return {}; }
}  // namespace longspan
#endif
