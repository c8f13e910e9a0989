#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace longspan {
namespace {

TEST(Checked, ThrowsWhereItWouldWrap) {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(CheckedAdd<std::uint64_t>(1, 2, "x"), 3u);
  EXPECT_THROW(CheckedAdd<std::uint64_t>(kMax, 1, "x"), Error);
  EXPECT_THROW(CheckedMul<std::uint64_t>(kMax / 2, 3, "x"), Error);
  EXPECT_THROW((CheckedCast<std::int64_t>(kMax, "x")), Error);
  EXPECT_EQ(CheckedAlignUp<std::uint64_t>(33, 32, "x"), 64u);
  EXPECT_THROW(CheckedAlignUp<std::uint64_t>(kMax - 3, 32, "x"), Error);
}

}  // namespace
}  // namespace longspan
