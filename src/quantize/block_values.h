// A block on its way to being encoded: its values brought near one, and how much each matters.
#pragma once

#include <array>
#include <span>

#include "tensor/blocks.h"

namespace longspan {

// The values of one block divided by `unit`, a power of two, so that squares neither overflow nor vanish and
// nothing is rounded. Fits happen in these units; scales are packed in the file's.
struct BlockValues {
  std::array<float, kSuperBlock> x;
  std::array<float, kSuperBlock> weights;
  float unit = 1;

  std::span<const float> values(int first, int count) const { return std::span(x).subspan(first, count); }
  std::span<const float> weight(int first, int count) const { return std::span(weights).subspan(first, count); }

  // Rounds a scale to a finite F16. Sets `scale` to what a reader will decode, for codes must be chosen against
  // that. Below 2^-14, where F16 is coarse, it is rounded up: the largest codes then still reach the largest
  // values, and no scale becomes zero.
  PackedHalf PackScale(float& scale) const;
  // The same for an offset, which may well round to zero.
  PackedHalf PackOffset(float& offset) const;
};

// `importance` [count] is the mean square of the activations that meet each column, or null. An error in a large
// weight costs more than one in a small weight even where no importances are known, hence the |x|; the block's
// root mean square keeps small weights from counting for nothing.
BlockValues PrepareBlock(const float* from, const float* importance, int count);

}  // namespace longspan
