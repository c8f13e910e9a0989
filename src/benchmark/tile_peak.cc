// Products of tiles (AMX): 16 rows of 64 bytes times another 16 rows, into 16 x 16 sums of 32 bits.
#include "benchmark/peak_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tensor/float16.h"

namespace longspan {
namespace {

constexpr int kTileRows = 16, kTileBytes = 64;
// Six tiles of sums, and one of each factor.
constexpr int kSums = 6;
constexpr int kBytes = kTileRows * kTileBytes;

// What ldtilecfg reads (Intel's manual, volume 1, section 18.3). It is in constant memory, because the
// compiler believes that ldtilecfg reads only eight bytes, and would drop stores to the others.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {kTileBytes, kTileBytes, kTileBytes, kTileBytes,
                                 kTileBytes, kTileBytes, kTileBytes, kTileBytes};
  std::uint8_t rows[16] = {kTileRows, kTileRows, kTileRows, kTileRows,
                           kTileRows, kTileRows, kTileRows, kTileRows};
};
static_assert(sizeof(TileConfig) == 64);
const TileConfig kTileConfig;

// Linux gives a process the tile registers when it asks (Documentation/arch/x86/xstate.rst).
bool RequestTiles() {
  constexpr long kArchRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) == 0;
}

template <class T>
double Total(const T (&sums)[kSums][kTileRows * kTileRows]) {
  double total = 0;
  for (const auto& sum : sums) {
    for (const T x : sum) total += static_cast<double>(x);
  }
  return total;
}

// Configures this thread's tiles: 0 to 5 are zero, 6 and 7 hold the factors.
__attribute__((target("amx-tile"))) void BeginTiles(const void* a, const void* b) {
  asm volatile("" ::: "memory");
  _tile_loadconfig(&kTileConfig);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  asm volatile("" ::: "memory");
  _tile_loadd(6, a, kTileBytes);
  _tile_loadd(7, b, kTileBytes);
}

template <class T>
__attribute__((target("amx-tile"))) double EndTiles() {
  alignas(64) T sums[kSums][kTileRows * kTileRows];
  _tile_stored(0, sums[0], kTileBytes);
  _tile_stored(1, sums[1], kTileBytes);
  _tile_stored(2, sums[2], kTileBytes);
  _tile_stored(3, sums[3], kTileBytes);
  _tile_stored(4, sums[4], kTileBytes);
  _tile_stored(5, sums[5], kTileBytes);
  _tile_release();
  return Total(sums);
}

__attribute__((target("amx-tile,amx-bf16"))) double Bf16Tiles(std::int64_t steps) {
  alignas(64) std::uint16_t a[kBytes / 2], b[kBytes / 2];
  for (std::uint16_t& x : a) x = F32ToBF16(1.0f);
  for (std::uint16_t& x : b) x = F32ToBF16(static_cast<float>(kBf16Product));
  BeginTiles(a, b);
  for (std::int64_t step = 0; step < steps; ++step) {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
    _tile_dpbf16ps(4, 6, 7);
    _tile_dpbf16ps(5, 6, 7);
  }
  return EndTiles<float>();
}

__attribute__((target("amx-tile,amx-int8"))) double Int8Tiles(std::int64_t steps) {
  alignas(64) std::int8_t a[kBytes], b[kBytes];
  for (std::int8_t& x : a) x = 3;
  for (std::int8_t& x : b) x = static_cast<std::int8_t>(kInt8Product / 3);
  BeginTiles(a, b);
  for (std::int64_t step = 0; step < steps; ++step) {
    _tile_dpbssd(0, 6, 7);
    _tile_dpbssd(1, 6, 7);
    _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7);
    _tile_dpbssd(4, 6, 7);
    _tile_dpbssd(5, 6, 7);
  }
  return EndTiles<std::int32_t>();
}

// The operations of one step, where a row of a tile holds `depth` elements.
constexpr double Operations(int depth) { return 2.0 * kTileRows * kTileRows * depth * kSums; }

}  // namespace

std::vector<PeakLoop> TileLoops() {
  std::vector<PeakLoop> loops;
  if (!__builtin_cpu_supports("amx-tile") || !RequestTiles()) return loops;
  if (__builtin_cpu_supports("amx-bf16")) {
    loops.push_back({PeakKind::kTileBf16, "amx", "tdpbf16ps", Operations(kTileBytes / 2), Bf16Tiles});
  }
  if (__builtin_cpu_supports("amx-int8")) {
    loops.push_back({PeakKind::kTileInt8, "amx", "tdpbssd", Operations(kTileBytes), Int8Tiles});
  }
  return loops;
}

}  // namespace longspan

#else
namespace longspan {
std::vector<PeakLoop> TileLoops() { return {}; }
}  // namespace longspan
#endif
