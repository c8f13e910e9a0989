#include "nn/rope.h"

#include <cmath>

#include "base/parallel.h"

namespace longspan {

RopeTable::RopeTable(std::span<const std::int32_t> positions, std::span<const double> inverse_frequencies,
                     double magnitude, RopePairing pairing)
    : cos_(static_cast<std::int64_t>(positions.size()),
           static_cast<std::int64_t>(inverse_frequencies.size())),
      sin_(cos_.rows(), cos_.cols()),
      pairing_(pairing) {
  ParallelFor(cos_.rows(), [&](std::int64_t i) {
    const double position = positions[i];
    for (std::size_t j = 0; j < inverse_frequencies.size(); ++j) {
      const double angle = position * inverse_frequencies[j];
      cos_[i][j] = static_cast<float>(std::cos(angle) * magnitude);
      sin_[i][j] = static_cast<float>(std::sin(angle) * magnitude);
    }
  });
}

}  // namespace longspan
