#include "cli/time_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace longspan {
namespace {

TEST(RoughTime, HasTwoUnitsAtMost) {
  EXPECT_EQ(RoughTime(0), "0 s");
  EXPECT_EQ(RoughTime(11.2), "12 s");
  EXPECT_EQ(RoughTime(95), "1 min 35 s");
  EXPECT_EQ(RoughTime(3600 * 4 + 60 * 12), "4 h 12 min");
  EXPECT_EQ(RoughTime(86'400 * 2 + 3600 * 3), "2 d 3 h");
}

// What nobody waits for is said in years, and fits the column.
TEST(RoughTime, HugeTimesAreYears) {
  EXPECT_EQ(RoughTime(3.15576e7 * 3.4), "3.4 years");
  EXPECT_EQ(RoughTime(3.2e9 * 3600), "365047 years");
  for (const double huge : {1e20, 1e300, std::numeric_limits<double>::infinity()})
    EXPECT_EQ(RoughTime(huge), "over 1e6 years");
  EXPECT_EQ(RoughTime(std::numeric_limits<double>::quiet_NaN()), "?");
}

TEST(ClockTime, CountsSeconds) {
  EXPECT_EQ(ClockTime(-1), "0:00");
  EXPECT_EQ(ClockTime(17.6), "0:18");
  EXPECT_EQ(ClockTime(725), "12:05");
  EXPECT_EQ(ClockTime(3600 * 3 + 59), "3:00:59");
  EXPECT_EQ(ClockTime(86'400), "1 d 0 h");
  EXPECT_EQ(ClockTime(1e30), "over 1e6 years");
}

}  // namespace
}  // namespace longspan
