#include "data/distances.h"

#include <gmock/gmock.h>

#include <numeric>
#include <set>

#include "base/random.h"
#include "data/pose.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Batch Example(const std::vector<std::int32_t>& positions) {
  Batch batch(1, std::ssize(positions));
  batch.positions = positions;
  std::ranges::fill(batch.targets, 1);
  return batch;
}

std::vector<std::int32_t> Consecutive(std::int64_t n) {
  std::vector<std::int32_t> positions(n);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

// Looks at every pair of tokens.
std::vector<double> SharesByPairs(const std::vector<std::vector<std::int32_t>>& examples,
                                  std::int64_t target) {
  std::vector<double> shares(Distances::kRanges);
  for (const auto& positions : examples) {
    std::set<std::int64_t> seen;
    for (const std::int32_t a : positions) {
      for (const std::int32_t b : positions) {
        if (b >= a) seen.insert(b - a);
      }
    }
    for (const std::int64_t d : seen) {
      if (d < target) shares[d * Distances::kRanges / target] += 1;
    }
  }
  for (double& share : shares)
    share /= static_cast<double>(examples.size()) * static_cast<double>(target) / Distances::kRanges;
  return shares;
}

TEST(Distances, AreThoseOfAllPairs) {
  constexpr std::int64_t kTarget = 512;
  for (const PoseOptions::Variant variant :
       {PoseOptions::Variant::kPaper, PoseOptions::Variant::kAxolotl, PoseOptions::Variant::kRandPos}) {
    PoseOptions options;
    options.variant = variant;
    options.target_context = kTarget;
    options.chunks = 3;
    Distances distances(kTarget);
    std::vector<std::vector<std::int32_t>> examples;
    for (std::uint64_t i = 0; i < 40; ++i) {
      Random random(1, i, RandomPurpose::kPose);
      examples.push_back(PosePositions(50, options, random));
      distances.Add(Example(examples.back()));
    }
    const std::vector<double> want = SharesByPairs(examples, kTarget);
    const auto got = distances.Ranges();
    ASSERT_EQ(std::ssize(got), Distances::kRanges);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i].share, want[i], 1e-12) << i;
    EXPECT_EQ(distances.examples(), 40);
    EXPECT_EQ(distances.shifted(), 40);
  }
}

// Two chunks of equal lengths leave the far end, and distances of about half a window, rare.
TEST(Distances, WhatEqualChunksStarve) {
  PoseOptions options;
  options.variant = PoseOptions::Variant::kAxolotl;
  options.target_context = 65'536;
  Distances distances(options.target_context);
  for (std::uint64_t i = 0; i < 500; ++i) {
    Random random(1, i, RandomPurpose::kPose);
    distances.Add(Example(PosePositions(7000, options, random)));
  }
  const auto ranges = distances.Ranges();
  EXPECT_EQ(ranges.front().last, 4095);
  EXPECT_GT(ranges.front().share, 0.8);
  EXPECT_NEAR(ranges[8].share, 0.12, 0.02);  // 7000 / (65536 - 7000), as each draw reaches 7000 distances
  EXPECT_LT(ranges.back().share, 0.06);
  EXPECT_THAT(distances.Summary(), HasSubstr("500 of 500 examples"));
}

TEST(Distances, PlainExamplesAreNotShiftedAndStarveTheRest) {
  Distances distances(160);
  for (int i = 0; i < 3; ++i) distances.Add(Example(Consecutive(100)));
  EXPECT_EQ(distances.shifted(), 0);
  EXPECT_EQ(distances.longest(), 99);
  EXPECT_EQ(distances.Ranges()[9].share, 1);
  EXPECT_EQ(distances.Ranges()[10].share, 0);
  EXPECT_THAT(distances.Warning(), HasSubstr("100 to 109 (0%)"));
  Distances reached(100);
  reached.Add(Example(Consecutive(100)));
  EXPECT_THAT(reached.Warning(), IsEmpty());
}

TEST(Distances, DocumentsDoNotSeeEachOther) {
  Distances distances(64);
  Batch batch = Example({0, 1, 2, 3, 40, 41, 42, 43});
  batch.documents = {0, 0, 0, 0, 1, 1, 1, 1};
  distances.Add(batch);
  EXPECT_EQ(distances.longest(), 3);
  EXPECT_EQ(distances.shifted(), 0);
}

TEST(Distances, PaddingCountsForNothing) {
  Distances distances(64);
  Batch batch = Example({0, 1, 2, 0, 1, 2, 3, 4});
  batch.documents = {0, 0, 0, 1, 1, 1, 1, 1};
  for (std::size_t i = 3; i < 8; ++i) batch.targets[i] = Batch::kIgnore;
  distances.Add(batch);
  EXPECT_EQ(distances.longest(), 2);
  EXPECT_EQ(distances.examples(), 1);
  std::ranges::fill(batch.targets, Batch::kIgnore);
  distances.Add(batch);
  EXPECT_EQ(distances.examples(), 1);
}

}  // namespace
}  // namespace longspan
