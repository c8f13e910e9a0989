#include "quantize/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Options = std::vector<TypeOption>;

Options Of(std::initializer_list<std::pair<std::int64_t, double>> bytes_and_harms) {
  Options options;
  for (const auto& [bytes, harm] : bytes_and_harms) options.push_back({Type::kQ4_0, bytes, harm});
  return options;
}

double Harm(const std::vector<Options>& tensors, const std::vector<std::size_t>& chosen) {
  double harm = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) harm += tensors[t][chosen[t]].harm;
  return harm;
}

std::int64_t Bytes(const std::vector<Options>& tensors, const std::vector<std::size_t>& chosen) {
  std::int64_t bytes = 0;
  for (std::size_t t = 0; t < tensors.size(); ++t) bytes += tensors[t][chosen[t]].bytes;
  return bytes;
}

TEST(SpendBytes, SpendsWhereItSavesMost) {
  const std::vector<Options> tensors{Of({{10, 8}, {20, 2}}), Of({{10, 100}, {20, 50}})};
  EXPECT_THAT(SpendBytes(tensors, 20), ElementsAre(0, 0));
  EXPECT_THAT(SpendBytes(tensors, 39), ElementsAre(0, 1));
  EXPECT_THAT(SpendBytes(tensors, 40), ElementsAre(1, 1));
}

TEST(SpendBytes, TakesNothingThatIsLargerAndNoBetter) {
  const std::vector<Options> tensors{Of({{30, 1}, {10, 5}, {20, 6}, {40, 1}})};
  EXPECT_THAT(SpendBytes(tensors, 1000), ElementsAre(0));
  EXPECT_THAT(SpendBytes(tensors, 25), ElementsAre(1));
}

TEST(SpendBytes, FillsWhatRemains) {
  // The step that saves most does not fit; a small one elsewhere does, and so does a type that is not on the
  // hull.
  const std::vector<Options> tensors{Of({{10, 100}, {15, 99}, {40, 0}}), Of({{10, 3}, {12, 2}})};
  EXPECT_THAT(SpendBytes(tensors, 27), ElementsAre(1, 1));
}

TEST(SpendBytes, TooFewBytesSayWhatIsPossible) {
  const std::vector<Options> tensors{Of({{10, 8}, {20, 2}}), Of({{10, 100}})};
  try {
    SpendBytes(tensors, 19);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(e.what(), HasSubstr("the smallest types take 20"));
  }
}

// Compared with the best of all combinations.
TEST(SpendBytes, IsNearTheOptimum) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed, 0, RandomPurpose::kTest);
    std::vector<Options> tensors;
    for (int t = 0; t < 6; ++t) {
      const double sensitivity = std::exp(2 * random.Normal());
      Options options;
      for (const int bits : {2, 3, 4, 5, 6, 8})
        options.push_back({Type::kQ4_0, 100 * bits, sensitivity * std::exp2(-2 * bits)});
      tensors.push_back(std::move(options));
    }
    const std::int64_t bytes = 1200 + 200 * static_cast<std::int64_t>(random.Below(8));
    double best = 1e9;
    for (int code = 0; code < 6 * 6 * 6 * 6 * 6 * 6; ++code) {
      std::vector<std::size_t> choice;
      for (int rest = code, t = 0; t < 6; ++t, rest /= 6)
        choice.push_back(static_cast<std::size_t>(rest % 6));
      if (Bytes(tensors, choice) <= bytes) best = std::min(best, Harm(tensors, choice));
    }
    const auto chosen = SpendBytes(tensors, bytes);
    EXPECT_LE(Bytes(tensors, chosen), bytes);
    EXPECT_LE(Harm(tensors, chosen), 1.25 * best) << seed;
  }
}

}  // namespace
}  // namespace longspan
