#include "encode/unfit_values.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "encode/float_rows.h"

namespace longspan {
namespace {

// The largest float that is rounded to the largest value, rather than to an infinity.
float LargestRounded(Type type) {
  switch (type) {
    case Type::kF32:
    case Type::kMXFP4: return std::numeric_limits<float>::max();
    case Type::kBF16: return std::bit_cast<float>(0x7f7f7fffu);
    default: return std::bit_cast<float>(0x477fefffu);  // just below 65520
  }
}

}  // namespace

float LargestValue(Type type) {
  switch (type) {
    case Type::kF32:
    case Type::kMXFP4: return std::numeric_limits<float>::max();
    case Type::kBF16: return 0x1.fep127f;
    default: return 65504;
  }
}

void UnfitValues::Add(const UnfitValues& later) {
  if (!any()) row = later.row, column = later.column;
  nan += later.nan;
  infinite += later.infinite;
  too_large += later.too_large;
}

UnfitValues TakeUnfit(Type type, float* values, std::int64_t rows, std::int64_t cols,
                      std::int64_t first_row) {
  UnfitValues unfit;
  const float rounded = LargestRounded(type), largest = LargestValue(type);
  if (AllWithin(values, rows * cols, rounded)) return unfit;
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    float& x = values[i];
    if (std::abs(x) <= rounded) continue;  // false for a NaN
    if (!unfit.any()) unfit.row = first_row + i / cols, unfit.column = i % cols;
    ++(std::isnan(x) ? unfit.nan : std::isinf(x) ? unfit.infinite : unfit.too_large);
    x = std::isnan(x) ? 0 : std::copysign(largest, x);
  }
  return unfit;
}

void CheckUnfit(const UnfitValues& unfit, Type type, TooLarge too_large) {
  const bool refused = too_large == TooLarge::kRefuse && unfit.too_large > 0;
  if (unfit.nan + unfit.infinite == 0 && !refused) return;
  std::vector<std::string> parts;
  if (unfit.nan > 0) parts.push_back(fmt::format("{} NaN", unfit.nan));
  if (unfit.infinite > 0) parts.push_back(fmt::format("{} infinite", unfit.infinite));
  if (refused) parts.push_back(fmt::format("{} beyond {}", unfit.too_large, LargestValue(type)));
  Fail(ErrorKind::kInvalidFile, "{} cannot hold these values: {}, the first in row {}, column {}{}",
       Traits(type).name, fmt::join(parts, ", "), unfit.row, unfit.column,
       refused ? fmt::format("; --clip cuts values off at {}", LargestValue(type)) : "");
}

std::string DescribeClipped(const UnfitValues& unfit, Type type) {
  return fmt::format("{} value{} beyond {:g} became {:g}, the largest that {} holds", unfit.too_large,
                     unfit.too_large == 1 ? "" : "s", LargestValue(type), LargestValue(type),
                     Traits(type).name);
}

}  // namespace longspan
