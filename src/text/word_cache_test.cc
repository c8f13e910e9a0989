#include "text/word_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Ids = std::vector<std::int32_t>;

void Add(WordCache& cache, std::string_view word, const Ids& ids) { cache.Add(word, 0, word.size(), ids); }

Ids Find(WordCache& cache, std::string_view word) {
  Ids ids;
  const bool found = cache.Find(word, 0, word.size(), ids);
  EXPECT_EQ(found, !ids.empty());
  return ids;
}

TEST(WordCache, KnowsWordsByAllTheirBytes) {
  WordCache cache;
  std::vector<std::string> words;
  for (std::size_t length = 1; length <= 32; ++length) {
    words.emplace_back(length, '\0');
    words.emplace_back(length, 'a');
    words.push_back(std::string(length - 1, 'a') + 'b');
    words.push_back(std::string(length - 1, 'a') + '\xFF');
  }
  for (std::size_t i = 0; i < words.size(); ++i) Add(cache, words[i], {static_cast<std::int32_t>(i) + 1, 7});
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Ids expected = {static_cast<std::int32_t>(i) + 1, 7};
    EXPECT_EQ(Find(cache, words[i]), expected) << i;
    // The same word inside a text.
    const std::string text = "xy" + words[i] + std::string(40, 'z');
    Ids ids = {5};
    ASSERT_TRUE(cache.Find(text, 2, 2 + words[i].size(), ids));
    EXPECT_THAT(ids, ElementsAre(5, expected[0], 7));
  }
  EXPECT_THAT(Find(cache, "c"), IsEmpty());
}

TEST(WordCache, LeavesOutWhatIsTooLong) {
  WordCache cache;
  const std::string longest(WordCache::Long::kLongest, 'a'), longer = longest + 'a';
  Add(cache, longest, {1});
  Add(cache, longer, {2});
  EXPECT_THAT(Find(cache, longest), ElementsAre(1));
  EXPECT_THAT(Find(cache, longer), IsEmpty());
  Add(cache, "ab", {1, 2, 3});
  Add(cache, "cd", {1, 2, 3, 4, 5, 6, 7});
  Add(cache, "ef", {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(Find(cache, "ab"), ElementsAre(1, 2, 3));
  EXPECT_THAT(Find(cache, "cd"), ElementsAre(1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(Find(cache, "ef"), IsEmpty());
}

TEST(WordCache, KeepsWhatIsAskedForAgain) {
  WordCache cache;
  Add(cache, "often", {1});
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string word = std::to_string(i);
    EXPECT_THAT(Find(cache, "often"), ElementsAre(1));
    Add(cache, word, {i});
    EXPECT_EQ(Find(cache, word), Ids{i});
    if (testing::Test::HasFailure()) return;
  }
}

TEST(WordCaches, GivesEachUserOneOfItsOwn) {
  WordCaches caches;
  const WordCache* first = nullptr;
  {
    const WordCaches::Lease a(caches), b(caches);
    first = &*a;
    EXPECT_NE(&*a, &*b);
    Add(*a, "word", {1});
    EXPECT_THAT(Find(*b, "word"), IsEmpty());
  }
  const WordCaches::Lease again(caches);
  EXPECT_EQ(&*again, first);  // a is returned last, and taken first
  EXPECT_THAT(Find(*again, "word"), ElementsAre(1));
}

}  // namespace
}  // namespace longspan
