// Ranges that several keys of a recipe have.
#pragma once

#include "base/schema.h"

namespace longspan {

namespace recipe_ranges {
inline constexpr Range kWindow{2, 1 << 24};
inline constexpr Range kCount{0, kNoLimit};
inline constexpr Range kPositive{1, kNoLimit};
inline constexpr Range kShare{0, 1};
inline constexpr Range kTheta{1.0001, kNoLimit};
}  // namespace recipe_ranges

}  // namespace longspan
