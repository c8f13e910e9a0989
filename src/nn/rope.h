// Rotary position embedding: the angles of a batch, and the rotation of queries and keys by them.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "tensor/rows.h"

namespace longspan {

// Cosine and sine of position * inverse_frequency for every row, computed in float64: at position 65,536
// float32 angles are off by a good part of a turn.
class RopeTable {
 public:
  // cos, sin [positions, inverse_frequencies], both times `magnitude` (YaRN's; 1 otherwise).
  RopeTable(std::span<const std::int32_t> positions, std::span<const double> inverse_frequencies,
            double magnitude, RopePairing pairing = RopePairing::kNeighbours);

  ConstRows cos() const { return cos_; }
  ConstRows sin() const { return sin_; }
  RopePairing pairing() const { return pairing_; }

 private:
  Matrix cos_, sin_;
  RopePairing pairing_;
};

inline void RopeForward(const Kernels& kernels, const RopeTable& table, std::int64_t head_dim, Rows x) {
  kernels.Rope(x, head_dim, table.pairing(), table.cos(), table.sin(), false);
}
// A rotation's gradient is the inverse rotation; a magnitude scales both alike.
inline void RopeBackward(const Kernels& kernels, const RopeTable& table, std::int64_t head_dim, Rows dx) {
  kernels.Rope(dx, head_dim, table.pairing(), table.cos(), table.sin(), true);
}

}  // namespace longspan
