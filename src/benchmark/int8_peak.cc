// Dot products of unsigned and signed bytes: one instruction with VNNI, three without.
#include "benchmark/peak_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace longspan {
namespace {

// Each lane adds up four products.
constexpr int kSums = 12, kUnsigned = 3, kSigned = -2;
static_assert(kUnsigned * kSigned == kInt8Product);

constexpr double Operations(int lanes) { return 2.0 * 4 * lanes * kSums; }

template <int kLanes>
double Total(const std::int32_t (&sums)[kSums][kLanes]) {
  double total = 0;
  for (const auto& sum : sums) {
    for (const std::int32_t x : sum) total += x;
  }
  return total;
}

__attribute__((target("avx512f,avx512vnni"))) double Vnni512(std::int64_t steps) {
  const __m512i a = _mm512_set1_epi8(kUnsigned), b = _mm512_set1_epi8(kSigned);
  __m512i sums[kSums];
  // The sums begin differently, because the compiler would merge sums that are alike.
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_epi32(i);
  for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
  }
  alignas(64) std::int32_t out[kSums][16];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) _mm512_store_si512(out[i], sums[i]);
  return Total(out);
}

__attribute__((target("avx2,avxvnni"))) double Vnni256(std::int64_t steps) {
  const __m256i a = _mm256_set1_epi8(kUnsigned), b = _mm256_set1_epi8(kSigned);
  __m256i sums[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = _mm256_set1_epi32(i);
  for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
  }
  alignas(32) std::int32_t out[kSums][8];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(out[i]), sums[i]);
  return Total(out);
}

__attribute__((target("avx2"))) double Maddubs256(std::int64_t steps) {
  __m256i a = _mm256_set1_epi8(kUnsigned);
  const __m256i b = _mm256_set1_epi8(kSigned), ones = _mm256_set1_epi16(1);
  __m256i sums[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = _mm256_set1_epi32(i);
  for (std::int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) {
      // The products do not depend on the sums: without this the compiler would take them out of the loop.
      asm volatile("" : "+x"(a));
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  alignas(32) std::int32_t out[kSums][8];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(out[i]), sums[i]);
  return Total(out);
}

}  // namespace

std::vector<PeakLoop> Int8Loops() {
  std::vector<PeakLoop> loops;
  if (__builtin_cpu_supports("avx512vnni")) {
    loops.push_back({PeakKind::kInt8Dot, "avx512", "vpdpbusd, 512 bits", Operations(16), Vnni512});
  }
  if (__builtin_cpu_supports("avxvnni")) {
    loops.push_back({PeakKind::kInt8Dot, "avx2", "vpdpbusd, 256 bits", Operations(8), Vnni256});
  }
  if (__builtin_cpu_supports("avx2")) {
    loops.push_back({PeakKind::kInt8Dot, "avx2", "vpmaddubsw, 256 bits", Operations(8), Maddubs256});
  }
  return loops;
}

}  // namespace longspan

#else
namespace longspan {
std::vector<PeakLoop> Int8Loops() { return {}; }
}  // namespace longspan
#endif
