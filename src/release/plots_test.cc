#include "release/plots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

// With LONGSPAN_TEST_OUT set, the plots are kept there to be looked at.
void Keep(const char* name, const std::string& svg) {
  if (const char* folder = std::getenv("LONGSPAN_TEST_OUT"))
    WriteFile(std::filesystem::path(folder) / name, svg);
}

TEST(Plots, OfARunAreWellFormed) {
  const Measurements m = ExampleMeasurements();
  const std::string loss = LossPlot(m.training), perplexity = PerplexityPlot(m), passkey = PasskeyPlot(m);
  Keep("loss.svg", loss);
  Keep("perplexity.svg", perplexity);
  Keep("passkey.svg", passkey);
  EXPECT_EQ(XmlFault(loss), "");
  EXPECT_EQ(XmlFault(perplexity), "");
  EXPECT_EQ(XmlFault(passkey), "");
  EXPECT_THAT(loss, HasSubstr("validation"));
  EXPECT_THAT(perplexity, HasSubstr("native window 512"));
  EXPECT_THAT(perplexity, HasSubstr("4,096"));
  EXPECT_THAT(passkey, HasSubstr(">Before<"));
  EXPECT_THAT(passkey, HasSubstr(">90<"));  // 18 of 20
}

TEST(Plots, OfNothingAreEmptyFrames) {
  const Measurements nothing;
  EXPECT_EQ(XmlFault(LossPlot(nothing.training)), "");
  EXPECT_EQ(XmlFault(PerplexityPlot(nothing)), "");
  EXPECT_EQ(XmlFault(PasskeyPlot(nothing)), "");
}

TEST(Plots, EscapeTheModelsName) {
  Measurements m = ExampleMeasurements();
  m.base.name = "</desc><script>alert(1)</script>";
  EXPECT_EQ(XmlFault(PerplexityPlot(m)), "");
}

}  // namespace
}  // namespace longspan
