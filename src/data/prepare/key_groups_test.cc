#include "data/prepare/key_groups.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/testing/temporary_folder.h"
#include "data/prepare/clusters.h"

namespace longspan {
namespace {

// In memory at once, in a few sections with some entries on disk, and in more sections than memory allows.
TEST(KeyGroups, AreTheDocumentsOfEachKey) {
  const TestFolder folder;
  constexpr int kDocuments = 100'000, kKeys = 30'000;
  for (const std::int64_t memory : {KeyGroups::kMemory, std::int64_t{500'000}, std::int64_t{1}}) {
    KeyGroups groups(folder.path(), kDocuments, memory);
    std::map<TextHash, std::vector<std::uint64_t>> expected;
    for (std::uint64_t i = 0; i < kDocuments; ++i) {
      const TextHash key = HashText(std::to_string(i * i % kKeys));
      expected[key].push_back(i);
      groups.Add(key, i);
    }
    std::erase_if(expected, [](const auto& entry) { return entry.second.size() < 2; });
    std::map<TextHash, std::vector<std::uint64_t>> found;
    groups.ForEachGroup([&](std::span<const std::uint64_t> documents) {
      const TextHash key = HashText(std::to_string(documents.front() * documents.front() % kKeys));
      found[key].assign(documents.begin(), documents.end());
    });
    EXPECT_EQ(found, expected);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
}

TEST(Clusters, NameTheFirstOfAllThatAPathLeadsTo) {
  const TestFolder folder;
  Clusters clusters(folder.path(), 1000);
  EXPECT_EQ(clusters.First(999), 999u);
  for (std::uint64_t i = 0; i + 7 < 1000; ++i) clusters.Join(i + 7, i);
  for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(clusters.First(i), i % 7);
  clusters.Join(6, 2);
  clusters.Join(6, 2);
  EXPECT_EQ(clusters.First(13), 2u);
  EXPECT_EQ(clusters.First(14), 0u);
}

}  // namespace
}  // namespace longspan
