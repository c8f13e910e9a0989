#include "release/measurements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "release/testing/sample_measurements.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Measurements, SurviveTheirFile) {
  TestFolder folder;
  Measurements saved = ExampleMeasurements();
  SaveMeasurement(folder / "all.json", saved);
  const auto loaded = LoadMeasurement<Measurements>(folder / "all.json");
  EXPECT_EQ(ToJson(loaded), ToJson(saved));
  EXPECT_EQ(loaded.training.points[0].validation, saved.training.points[0].validation);
  EXPECT_FALSE(loaded.training.points[1].validation.has_value());
}

TEST(Measurements, KeepWhatIsNotFinite) {
  TestFolder folder;
  TrainingFacts facts;
  facts.points.push_back({1, 10, std::numeric_limits<double>::infinity(), 0.1, {}});
  SaveMeasurement(folder / "train.json", facts);
  EXPECT_TRUE(std::isnan(LoadMeasurement<TrainingFacts>(folder / "train.json").points[0].loss));
}

TEST(Measurements, KeepTextThatIsNotUnicode) {
  TestFolder folder;
  SampleText sample;
  sample.text = "half a character: \xe2\x82";
  SaveMeasurement(folder / "sample.json", sample);
  EXPECT_THAT(LoadMeasurement<SampleText>(folder / "sample.json").text, HasSubstr("half a character"));
}

TEST(Measurements, NameWhatIsWrong) {
  TestFolder folder;
  const auto file = folder / "m.json";
  const auto load = [&] { LoadMeasurement<EnergyFacts>(file); };
  WriteFile(file, "{");
  EXPECT_THAT(load, ThrowsMessage<Error>(HasSubstr("m.json: not JSON")));
  WriteFile(file, std::string(100'000, '['));
  EXPECT_THAT(load, ThrowsMessage<Error>(HasSubstr("m.json: JSON nested deeper than")));
  WriteFile(file, "{}");
  EXPECT_THAT(load, ThrowsMessage<Error>(HasSubstr("the key 'power_watts' is missing")));
  WriteFile(file, R"({"power_watts": "lots"})");
  EXPECT_THAT(load, ThrowsMessage<Error>(HasSubstr("power_watts: expected a number, found string")));
  const auto base = [&] { LoadMeasurement<BaseFacts>(file); };
  WriteFile(file, R"({"name": "x", "file": "y", "bytes": 18446744073709551615})");
  EXPECT_THAT(base, ThrowsMessage<Error>(HasSubstr("bytes: 18446744073709551615 is out of range")));
}

TEST(Measurements, PasskeyShareCountsOneLength) {
  const std::vector<PasskeyCell> cells = {{512, 0, 10, 9}, {512, 1, 10, 5}, {1024, 0, 10, 0}};
  EXPECT_DOUBLE_EQ(PasskeyShare(cells, 512).value(), 0.7);
  EXPECT_DOUBLE_EQ(PasskeyShare(cells, 1024).value(), 0.0);
  EXPECT_FALSE(PasskeyShare(cells, 2048).has_value());
}

TEST(Measurements, EnergyIsPowerTimesTime) {
  const EnergyFacts energy{150, "", 400, ""};
  EXPECT_DOUBLE_EQ(energy.KilowattHours(7200), 0.3);
  EXPECT_DOUBLE_EQ(energy.GramsCo2(7200), 120);
}

}  // namespace
}  // namespace longspan
