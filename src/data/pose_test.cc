#include "data/pose.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using Variant = PoseOptions::Variant;
using Lengths = PoseOptions::Lengths;

Random At(std::uint64_t step) { return Random(1, step, RandomPurpose::kPose); }

PoseOptions Options(Variant variant, std::int64_t target, int chunks = 2) {
  PoseOptions options;
  options.variant = variant;
  options.target_context = target;
  options.chunks = chunks;
  return options;
}

TEST(Pose, PositionsHoldTheirPromises) {
  std::uint64_t step = 0;
  for (const Variant variant : {Variant::kPaper, Variant::kAxolotl, Variant::kRandPos}) {
    for (const int chunks : {1, 2, 3, 7, 100}) {
      for (const auto& [length, target] :
           {std::pair{1, 1}, {1, 50}, {2, 2}, {5, 64}, {64, 64}, {63, 64}, {512, 4096}}) {
        for (int draw = 0; draw < 20; ++draw) {
          Random random = At(step++);
          const auto positions = PosePositions(length, Options(variant, target, chunks), random);
          ASSERT_EQ(positions.size(), static_cast<std::size_t>(length));
          ASSERT_GE(positions.front(), 0);
          if (variant != Variant::kRandPos) {
            ASSERT_EQ(positions.front(), 0);
          }
          ASSERT_LT(positions.back(), target);
          for (std::size_t i = 1; i < positions.size(); ++i) ASSERT_LT(positions[i - 1], positions[i]);
        }
      }
    }
  }
}

TEST(Pose, ChunksCoverTheExample) {
  for (const Lengths lengths : {Lengths::kEqual, Lengths::kRandom}) {
    for (const int chunks : {1, 2, 5, 16}) {
      PoseOptions options = Options(Variant::kPaper, 1000, chunks);
      options.lengths = lengths;
      for (std::uint64_t step = 0; step < 200; ++step) {
        Random random = At(step);
        const auto drawn = DrawChunks(100, options, random);
        ASSERT_EQ(drawn.size(), static_cast<std::size_t>(chunks));
        EXPECT_EQ(drawn.front().shift, 0);
        std::int64_t begin = 0, shift = 0;
        for (const PoseChunk& chunk : drawn) {
          EXPECT_EQ(chunk.begin, begin);
          EXPECT_GE(chunk.length, 1);
          EXPECT_GE(chunk.shift, shift);
          if (lengths == Lengths::kEqual) {
            EXPECT_NEAR(static_cast<double>(chunk.length), 100.0 / chunks, 1.0);
          }
          begin += chunk.length;
          shift = chunk.shift;
        }
        EXPECT_EQ(begin, 100);
        EXPECT_LE(shift, 900);
      }
    }
  }
}

// The paper's two chunks: the first has 1 to ceil(length / 2) tokens, each number equally often.
TEST(Pose, PaperDrawsTheFirstChunksLengthEvenly) {
  std::map<std::int64_t, int> count;
  constexpr int kDraws = 10'000;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    Random random = At(step);
    ++count[DrawChunks(9, Options(Variant::kPaper, 64), random)[0].length];
  }
  ASSERT_EQ(count.size(), 5u);
  EXPECT_EQ(count.begin()->first, 1);
  EXPECT_EQ(count.rbegin()->first, 5);
  for (const auto& [length, n] : count) EXPECT_NEAR(n, kDraws / 5.0, 4 * std::sqrt(kDraws / 5.0)) << length;
}

// How often each relative distance occurs at 7,000 tokens, a target of 65,536 and two equal chunks. Between
// the chunks, distances 1 + u to 6,999 + u occur for a shift u that is uniform in 0 to 58,536.
TEST(Pose, CoversDistancesAsTheTheorySays) {
  constexpr std::int64_t kLength = 7000, kTarget = 65536;
  constexpr int kDraws = 20'000;
  const std::map<std::int64_t, double> expected = {{3499, 1.0},   {4000, .068},   {6500, .111},
                                                   {8000, .1196}, {30000, .1196}, {58000, .1196},
                                                   {62000, .060}, {64000, .026},  {65000, .009}};
  std::map<std::int64_t, int> covered;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    Random random = At(step);
    const auto chunks = DrawChunks(kLength, Options(Variant::kAxolotl, kTarget), random);
    ASSERT_EQ(chunks.size(), 2u);
    for (const auto& [distance, share] : expected) {
      const bool within = distance < chunks[0].length;
      const std::int64_t shift = chunks[1].shift;
      covered[distance] += within || (distance >= 1 + shift && distance <= kLength - 1 + shift);
    }
  }
  for (const auto& [distance, share] : expected) {
    const double tolerance = 4 * std::sqrt(share * (1 - share) / kDraws) + .001;
    EXPECT_NEAR(static_cast<double>(covered[distance]) / kDraws, share, tolerance) << distance;
  }
}

// Checks on positions themselves, at a small size, what the theory above assumes.
TEST(Pose, PositionsHaveTheDistancesOfTheirChunks) {
  for (std::uint64_t step = 0; step < 100; ++step) {
    Random chunk_random = At(step), position_random = At(step);
    const PoseOptions options = Options(Variant::kAxolotl, 256);
    const auto chunks = DrawChunks(20, options, chunk_random);
    const auto positions = PosePositions(20, options, position_random);
    std::set<std::int64_t> found, expected;
    for (const auto a : positions) {
      for (const auto b : positions) {
        if (a <= b) found.insert(b - a);
      }
    }
    for (std::int64_t d = 0; d < 10; ++d) expected.insert(d);
    for (std::int64_t d = 1; d < 20; ++d) expected.insert(d + chunks[1].shift);
    EXPECT_EQ(found, expected);
  }
}

TEST(Pose, ShiftsAreUniform) {
  double sum = 0;
  constexpr int kDraws = 20'000;
  std::int64_t least = 1000, most = 0;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    Random random = At(step);
    const std::int64_t shift = DrawChunks(24, Options(Variant::kPaper, 124), random)[1].shift;
    sum += static_cast<double>(shift);
    least = std::min(least, shift);
    most = std::max(most, shift);
  }
  EXPECT_NEAR(sum / kDraws, 50, 4 * 29.0 / std::sqrt(kDraws));
  EXPECT_EQ(least, 0);
  EXPECT_EQ(most, 100);
}

TEST(Pose, LeavesAShareUnmodified) {
  for (const Variant variant : {Variant::kPaper, Variant::kAxolotl, Variant::kRandPos}) {
    PoseOptions options = Options(variant, 20'000);
    options.unmodified_share = 0.25;
    int plain = 0;
    for (std::uint64_t step = 0; step < 2000; ++step) {
      Random random = At(step);
      plain += PosePositions(16, options, random).back() == 15;
    }
    EXPECT_NEAR(plain, 500, 4 * std::sqrt(2000 * .25 * .75));
  }
}

TEST(Pose, SplitsBeforeTokens) {
  PoseOptions options = Options(Variant::kAxolotl, 100'000);
  options.split_tokens = {7, 8};
  const std::vector<std::int32_t> tokens = {1, 7, 3, 7, 4, 5, 8, 8};  // the 7 at index 1 comes too early
  Random random = At(0);
  const auto chunks = DrawChunks(8, options, random, tokens);
  ASSERT_EQ(chunks.size(), 4u);
  EXPECT_EQ(chunks[1].begin, 3);
  EXPECT_EQ(chunks[2].begin, 6);
  EXPECT_EQ(chunks[3].begin, 7);
}

TEST(Pose, TextSkipsGrowWithinWhatIsSpare) {
  for (std::uint64_t step = 0; step < 500; ++step) {
    Random random = At(step);
    const auto skips = DrawTextSkips(4, 30, random);
    EXPECT_EQ(skips[0], 0);
    for (std::size_t i = 1; i < skips.size(); ++i) EXPECT_GE(skips[i], skips[i - 1]);
    EXPECT_LE(skips.back(), 30);
  }
}

TEST(Pose, RefusesWhatCannotBe) {
  const auto Kind = [](const PoseOptions& options, std::int64_t length) {
    return KindOf([&] {
      Random random = At(0);
      PosePositions(length, options, random);
    });
  };
  EXPECT_EQ(Kind(PoseOptions{}, 10), ErrorKind::kBadOption);  // no target
  EXPECT_EQ(Kind(Options(Variant::kPaper, 64), 65), ErrorKind::kBadOption);
  EXPECT_EQ(Kind(Options(Variant::kRandPos, 64), 65), ErrorKind::kBadOption);
  EXPECT_EQ(Kind(Options(Variant::kPaper, 64, 0), 10), ErrorKind::kBadOption);
  PoseOptions options = Options(Variant::kPaper, 64);
  options.unmodified_share = std::nan("");
  EXPECT_EQ(Kind(options, 10), ErrorKind::kBadOption);
  options = Options(Variant::kPaper, 64);
  options.split_tokens = {1};
  EXPECT_EQ(Kind(options, 10), ErrorKind::kBadOption);
}

TEST(RandomPositions, EveryPositionIsAsLikely) {
  std::vector<int> count(20, 0);
  constexpr int kDraws = 10'000;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    Random random = At(step);
    for (const auto p : RandomPositions(5, 20, random)) ++count[p];
  }
  for (const int n : count) EXPECT_NEAR(n, kDraws / 4.0, 4.5 * std::sqrt(kDraws * .25 * .75));
}

TEST(Pose, SaysWhatItsChunksAre) {
  EXPECT_EQ(DescribeChunks(Options(Variant::kPaper, 100)), "2 chunks of random lengths");
  EXPECT_EQ(DescribeChunks(Options(Variant::kAxolotl, 100, 3)), "3 chunks of equal lengths");
  EXPECT_EQ(DescribeChunks(Options(Variant::kRandPos, 100)), "no chunks, any increasing positions");
  PoseOptions options = Options(Variant::kAxolotl, 100);
  options.lengths = Lengths::kRandom;
  EXPECT_EQ(DescribeChunks(options), "2 chunks of random lengths");
  options.split_tokens = {1};
  EXPECT_EQ(DescribeChunks(options), "chunks from each split token on");
}

}  // namespace
}  // namespace longspan
