#include "text/merge_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"

namespace longspan {
namespace {

TEST(MergeTable, KnowsItsPairsAndNoOthers) {
  std::mt19937 random(1);
  for (const std::size_t merges : {0, 1, 5, 3000}) {
    const std::size_t tokens = merges + 100;
    MergeTable table(tokens, merges);
    std::map<std::pair<std::int32_t, std::int32_t>, std::uint32_t> expected;
    const auto any = [&] { return static_cast<std::int32_t>(random() % tokens); };
    for (std::uint32_t rank = 0; rank < merges; ++rank) {
      const std::int32_t left = any() % 60, right = any();
      table.Add(left, right, rank, static_cast<std::int32_t>(rank) + 7);
      expected.try_emplace({left, right}, rank);
    }
    for (const auto& [pair, rank] : expected) {
      EXPECT_EQ(table.Rank(pair.first, pair.second), rank);
      EXPECT_EQ(table.Joined(rank), static_cast<std::int32_t>(rank) + 7);
    }
    for (int i = 0; i < 10000; ++i) {
      const std::int32_t left = any(), right = any();
      const auto found = expected.find({left, right});
      EXPECT_EQ(table.Rank(left, right), found == expected.end() ? MergeTable::kNone : found->second);
    }
  }
}

TEST(MergeTable, HoldsTheLargestIdsAndRanks) {
  const std::size_t tokens = (std::size_t{1} << 20) - 1, merges = 100;
  MergeTable table(tokens, merges);
  const auto last = static_cast<std::int32_t>(tokens - 1);
  table.Add(last, last, merges - 1, last);
  table.Add(0, 0, 0, 0);
  EXPECT_EQ(table.Rank(last, last), merges - 1);
  EXPECT_EQ(table.Rank(0, 0), 0u);
  EXPECT_EQ(table.Rank(0, last), MergeTable::kNone);
}

TEST(MergeTable, RefusesWhatDoesNotFit) { EXPECT_THROW(MergeTable(std::size_t{1} << 30, 100), Error); }

}  // namespace
}  // namespace longspan
