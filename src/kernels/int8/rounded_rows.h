// Rows of activations rounded to 8 bits.
#pragma once

#include <cstdint>

#include "base/memory.h"

namespace longspan {

// Blocks of 32 consecutive elements x share a scale: x = scale * code, scale = max |x| / 127, code in [-127,
// 127].
//
// What products read together lies together: columns are cut into slabs of 256, and everything is [slabs,
// rows, ...], so that a slab of a weight meets one contiguous piece. Past the last column codes and sums are
// zero.
struct RoundedRows {
  static constexpr std::int64_t kSlab = 256;  // columns
  static constexpr std::int64_t kGroups = 8;  // blocks of 32 in a slab
  // Rows that kernels may read past the last: whatever lies there, whose products they drop.
  static constexpr std::int64_t kSpareRows = 16;

  std::int64_t rows = 0, cols = 0;
  AlignedVector<std::int8_t> codes;          // [slabs, rows, kSlab]
  AlignedVector<float> scales;               // [slabs, rows, kGroups]
  AlignedVector<float> sums;                 // [slabs, rows, kGroups]      scale * sum of the block's codes
  AlignedVector<std::int32_t> minus_sums;    // [slabs, rows, kGroups]      -(sum of the block's codes)
  AlignedVector<std::int32_t> minus_halves;  // [slabs, rows, 2 * kGroups]  the same for each 16 codes

  std::int64_t slabs() const { return (cols + kSlab - 1) / kSlab; }
  // Blocks of 32 in slab s: kGroups, or fewer in the last.
  std::int64_t groups(std::int64_t s) const {
    const std::int64_t left = (cols - s * kSlab) / 32;
    return left < kGroups ? left : kGroups;
  }
  void Resize(std::int64_t new_rows, std::int64_t new_cols) {
    rows = new_rows;
    cols = new_cols;
    const auto n = static_cast<std::size_t>(slabs() * rows + kSpareRows);
    codes.resize(n * kSlab);
    scales.resize(n * kGroups);
    sums.resize(n * kGroups);
    minus_sums.resize(n * kGroups);
    minus_halves.resize(n * 2 * kGroups);
  }
  std::size_t at(std::int64_t slab, std::int64_t row) const {
    return static_cast<std::size_t>(slab * rows + row);
  }
};

}  // namespace longspan
