// Tiles: registers of 16 rows of 64 bytes, and the product of two of them added to a third (Intel AMX).
// Algorithms are templates over a type of tiles. Two of them have these members:
//
//   Tiles tiles;                              the calling thread may use tiles while the object lives
//   tiles.template Zero<T>()
//   tiles.template Load<T>(from, stride)      row i is the 64 bytes at from + i * stride
//   tiles.template LoadOnce<T>(from, stride)  the same, but the first-level cache need not keep it
//   tiles.template Store<T>(to, stride)
//   tiles.template Dot<C, A, B>()             C [16, 16] F32 += A [16, 32] BF16 times B, BF16 in pairs
//
// Row k, column j of B holds the elements (2k, j) and (2k + 1, j) of a matrix [32, 16]. HardwareTiles is the
// tile unit. PlainTiles does the same in loops, so that a machine without the unit can test everything else.
// VectorTiles has no such members: it names the overload of Block (block.h) for machines whose vectors
// multiply pairs of BF16 and that have no tile unit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace longspan::bf16 {

inline constexpr std::int64_t kTileRows = 16;
inline constexpr std::int64_t kTileRowBytes = 64;
inline constexpr std::int64_t kTileBytes = kTileRows * kTileRowBytes;
inline constexpr std::int64_t kTileFloats = kTileBytes / 4;
inline constexpr std::int64_t kStep = 32;  // of the inner dimension, which one product of tiles takes

constexpr std::int64_t RoundUp(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

// Whether this machine has AVX-512 with BF16, which all of kernels/bf16 needs beside the tiles.
bool VectorsSupported();
// Whether its vectors multiply pairs of BF16 faster than they multiply floats. Intel's take two cycles for
// vdpbf16ps: on Emerald Rapids it reached 88 GFLOP/s a thread where vfmadd reached 172.
bool PairsAreFast();
// Whether it has the tile unit too, and the system lets this process use it (asked for once).
bool TilesSupported();

// What LDTILECFG reads: here eight tiles of 16 rows of 64 bytes (Intel's manual, volume 1, chapter 18).
struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1, start_row = 0;
  std::array<std::uint8_t, 14> reserved{};
  std::array<std::uint16_t, 16> row_bytes{64, 64, 64, 64, 64, 64, 64, 64};
  std::array<std::uint8_t, 16> rows{16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);
inline constexpr TileConfiguration kFullTiles{};

// The instructions are written out, because the intrinsics of GCC 12 do not say that a load reads memory:
// stores before it could be dropped or moved past it. Tile numbers must be known when compiling.
class HardwareTiles {
 public:
  // Only where TilesSupported().
  HardwareTiles() { asm volatile("ldtilecfg %0" : : "m"(kFullTiles) : "memory"); }
  ~HardwareTiles() { asm volatile("tilerelease" : : : "memory"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int kTile>
  void Zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  void Load(const void* from, std::int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void LoadOnce(const void* from, std::int64_t stride) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void Store(void* to, std::int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kC, int kA, int kB>
  void Dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};

class PlainTiles {
 public:
  template <int kTile>
  void Zero() {
    tiles_[kTile] = {};
  }
  template <int kTile>
  void Load(const void* from, std::int64_t stride) {
    for (std::int64_t i = 0; i < kTileRows; ++i) {
      std::memcpy(&tiles_[kTile][i * kTileRowBytes], static_cast<const std::byte*>(from) + i * stride,
                  kTileRowBytes);
    }
  }
  template <int kTile>
  void LoadOnce(const void* from, std::int64_t stride) {
    Load<kTile>(from, stride);
  }
  template <int kTile>
  void Store(void* to, std::int64_t stride) {
    for (std::int64_t i = 0; i < kTileRows; ++i) {
      std::memcpy(static_cast<std::byte*>(to) + i * stride, &tiles_[kTile][i * kTileRowBytes], kTileRowBytes);
    }
  }
  template <int kC, int kA, int kB>
  void Dot() {
    Dot(tiles_[kC], tiles_[kA], tiles_[kB]);
  }

 private:
  using Tile = std::array<std::byte, static_cast<std::size_t>(kTileBytes)>;
  static void Dot(Tile& c, const Tile& a, const Tile& b);
  std::array<Tile, 8> tiles_;
};

struct VectorTiles {};

}  // namespace longspan::bf16
