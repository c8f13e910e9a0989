#include "release/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EscapeXml, CoversMarkupAndQuotes) {
  EXPECT_EQ(EscapeXml(R"(a<b>&"c"'d')"), "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;");
  EXPECT_EQ(EscapeXml("naïve 漢字 😀"), "naïve 漢字 😀");
}

TEST(EscapeXml, ReplacesWhatXmlForbids) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(EscapeXml(std::string_view("a\0b", 3)), "a" + bad + "b");
  EXPECT_EQ(EscapeXml("\x1b[31m"), bad + "[31m");
  EXPECT_EQ(EscapeXml("\xff"), bad);
  EXPECT_EQ(EscapeXml("\xe2\x82"), bad + bad);            // cut short
  EXPECT_EQ(EscapeXml("\xc0\xaf"), bad + bad);            // overlong
  EXPECT_EQ(EscapeXml("\xed\xa0\x80"), bad + bad + bad);  // a surrogate
  EXPECT_EQ(EscapeXml("\xef\xbf\xbe"), bad + bad + bad);  // U+FFFE
}

TEST(Svg, IsWellFormedAndSpeaks) {
  Svg svg(200, 100, "A <title>", "what & why");
  svg.Line({0, 0}, {10, 10}, {});
  const Point points[] = {{1, 2}, {3, 4}};
  svg.Polyline(points, {.dashes = "4 2"});
  svg.Circle({5, 5}, 2, ink::kBlue, "x < y");
  svg.Text({1, 1}, "</svg>", {.rotate = -90});
  const std::string text = std::move(svg).Finish();
  EXPECT_EQ(XmlFault(text), "");
  EXPECT_THAT(text, HasSubstr("<title>A &lt;title&gt;</title>"));
  EXPECT_THAT(text, HasSubstr("aria-label=\"A &lt;title&gt;\""));
  EXPECT_THAT(text, HasSubstr("<desc>what &amp; why</desc>"));
}

TEST(Svg, NeverWritesANumberThatIsNotFinite) {
  Svg svg(200, 100, "t", "d");
  svg.Line({std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}, {0, 0}, {});
  const std::string text = std::move(svg).Finish();
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("inf\"")));
}

TEST(XmlFault, FindsFaults) {
  EXPECT_EQ(XmlFault("<a b=\"1\"><c/>text &amp; more</a>\n"), "");
  for (const char* bad : {"<a>", "<a></b>", "<a b=1/>", "<a>&</a>", "<a b=\"<\"/>", "<a/><b/>", "text"}) {
    EXPECT_NE(XmlFault(bad), "") << bad;
  }
}

}  // namespace
}  // namespace longspan
