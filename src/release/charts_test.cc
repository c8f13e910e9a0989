#include "release/charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointwise;

TEST(WithCommas, GroupsThousands) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(512), "512");
  EXPECT_EQ(WithCommas(4096), "4,096");
  EXPECT_EQ(WithCommas(1234567), "1,234,567");
  EXPECT_EQ(WithCommas(-1000), "-1,000");
  EXPECT_EQ(WithCommas(-999), "-999");
}

TEST(ChooseTicks, AreRound) {
  EXPECT_THAT(ChooseTicks(0, 300, Scale::kLinear, 6), ElementsAre(0, 50, 100, 150, 200, 250, 300));
  EXPECT_THAT(ChooseTicks(20, 700, Scale::kLog, 6),
              Pointwise(DoubleNear(1e-6), {20.0, 50.0, 100.0, 200.0, 500.0}));
  EXPECT_THAT(ChooseTicks(1, 1e6, Scale::kLog, 6),
              Pointwise(DoubleNear(1e-3), {1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}));
}

// Less than a factor of four holds too few round logarithmic values.
TEST(ChooseTicks, FallBackToLinearWithinOneOctave) {
  EXPECT_GE(ChooseTicks(21, 25, Scale::kLog, 5).size(), 3u);
}

TEST(LineChart, LeavesOutWhatCannotBeDrawn) {
  LineChart chart;
  chart.y.scale = Scale::kLog;
  chart.series.push_back(
      {.name = "a", .points = {{1, NAN}, {2, 0}, {3, -1}, {4, INFINITY}, {5, 10}, {6, 20}}});
  chart.series.back().markers = true;
  const std::string svg = Draw(chart);
  EXPECT_EQ(XmlFault(svg), "");
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("a: 0 at")));
  EXPECT_THAT(svg, HasSubstr("a: 10 at 5"));
}

TEST(LineChart, DrawsASinglePointAndExtremes) {
  for (const double y : {0.0, 1.0, -5.0, 1e300, 1e-300}) {
    LineChart chart;
    chart.series.push_back({.name = "one", .points = {{3, y}}});
    EXPECT_EQ(XmlFault(Draw(chart)), "");
  }
}

TEST(HeatMap, MarksWhatWasNotMeasured) {
  HeatMap map{.title = "t",
              .description = "d",
              .column_label = "c",
              .row_label = "r",
              .columns = {"1", "2"},
              .rows = {"0%"},
              .panels = {{"p", {{0.5, std::nullopt}}}, {"short", {}}},
              .mark_after_column = 1,
              .mark_label = "m"};
  const std::string svg = Draw(map);
  EXPECT_EQ(XmlFault(svg), "");
  EXPECT_THAT(svg, HasSubstr(">50<"));
  EXPECT_THAT(svg, HasSubstr(">–<"));
}

}  // namespace
}  // namespace longspan
