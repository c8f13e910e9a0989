// Values that an element type cannot hold, counted while a tensor is encoded.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/type.h"

namespace longspan {

struct UnfitValues {
  std::int64_t nan = 0, infinite = 0;
  std::int64_t too_large = 0;          // finite, but beyond LargestValue
  std::int64_t row = -1, column = -1;  // of the first of them

  bool any() const { return nan + infinite + too_large > 0; }
  // Adds the counts of rows that follow.
  void Add(const UnfitValues& later);
};

// The largest magnitude that any block of the type can hold. If a block has an F16 scale, this is the largest
// F16, although a block may hold more.
float LargestValue(Type type);

// Counts what `type` cannot hold among `rows` of `cols` values. Messages number the rows from `first_row` on.
// A NaN becomes 0 and the others the largest value, so that the rest can be encoded.
UnfitValues TakeUnfit(Type type, float* values, std::int64_t rows, std::int64_t cols, std::int64_t first_row);

// What to do with finite values beyond the largest.
enum class TooLarge { kRefuse, kClip };

// Error(kInvalidFile) with the counts for a NaN or an infinity, and for values that are too large unless they
// may be clipped.
void CheckUnfit(const UnfitValues& unfit, Type type, TooLarge too_large);

// "12 values beyond 65504 became 65504, the largest that F16 holds".
std::string DescribeClipped(const UnfitValues& unfit, Type type);

}  // namespace longspan
