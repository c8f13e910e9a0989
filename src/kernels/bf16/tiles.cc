#include "kernels/bf16/tiles.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cmath>

#include "tensor/float16.h"

namespace longspan::bf16 {
namespace {

// The unit reads subnormal numbers as zero and writes them as zero.
float Flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

bool ProcessorHasTiles() {
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;  // of leaf 7's EDX
  constexpr unsigned kSavedBySystem = 1u << 27;           // of leaf 1's ECX: XGETBV may be used
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kSavedBySystem) == 0) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kBf16 | kTile)) != (kBf16 | kTile)) return false;
  // The system must have enabled both parts of the tiles' state.
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;
  return (low & kTileState) == kTileState;
}

// Linux gives a process the room for tiles only when it asks (arch_prctl, ARCH_REQ_XCOMP_PERM).
bool SystemPermitsTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool VectorsSupported() {
  static const bool supported = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                                __builtin_cpu_supports("avx512bf16");
  return supported;
}

bool PairsAreFast() { return VectorsSupported() && __builtin_cpu_is("intel") == 0; }

bool TilesSupported() {
  static const bool supported = VectorsSupported() && ProcessorHasTiles() && SystemPermitsTiles();
  return supported;
}

// TDPBF16PS as Intel's manual writes it: the even and the odd elements of 16 pairs are summed separately, by
// fused multiplications in order. Then the two sums are added to each other and to C.
void PlainTiles::Dot(Tile& c, const Tile& a, const Tile& b) {
  const auto element = [](const Tile& t, std::size_t row, std::size_t i) {
    std::uint16_t bits;
    std::memcpy(&bits, &t[row * kTileRowBytes + 2 * i], sizeof(bits));
    return Flush(BF16ToF32(bits));
  };
  for (std::size_t m = 0; m < 16; ++m) {
    for (std::size_t n = 0; n < 16; ++n) {
      float even = 0, odd = 0, sum;
      for (std::size_t k = 0; k < 16; ++k) {
        even = Flush(std::fma(element(a, m, 2 * k), element(b, k, 2 * n), even));
        odd = Flush(std::fma(element(a, m, 2 * k + 1), element(b, k, 2 * n + 1), odd));
      }
      std::byte* at = &c[m * kTileRowBytes + 4 * n];
      std::memcpy(&sum, at, sizeof(sum));
      sum = Flush(Flush(sum) + Flush(even + odd));
      std::memcpy(at, &sum, sizeof(sum));
    }
  }
}

}  // namespace longspan::bf16
