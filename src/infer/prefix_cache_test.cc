#include "infer/prefix_cache.h"

#include <gtest/gtest.h>

#include "infer/testing/small_engine.h"

namespace longspan {
namespace {

class PrefixCacheTest : public testing::Test {
 protected:
  // Makes `pages` new pages known for `tokens`, held by nobody else.
  void Insert(const Tokens& tokens) { prefixes_.Insert(tokens, pool_->Take(std::ssize(tokens) / kKvBlock)); }
  std::int64_t Known(const Tokens& tokens) { return std::ssize(prefixes_.Find(tokens)); }

  std::shared_ptr<KvPagePool> pool_ = KvPagePool::Make(oracle::SmallConfig(), Type::kF32);
  PrefixCache prefixes_;
};

Tokens Joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(PrefixCacheTest, FindsWholePagesOfTheSameTokens) {
  const Tokens text = SomeTokens(200, 1);
  const std::vector<KvPage> pages = pool_->Take(3);
  prefixes_.Insert(text, pages);
  EXPECT_EQ(prefixes_.Find(text), pages);
  EXPECT_EQ(Known(Tokens(text.begin(), text.begin() + 191)), 2);
  EXPECT_EQ(Known(Tokens(text.begin(), text.begin() + 63)), 0);
  EXPECT_EQ(Known({}), 0);
  for (const std::size_t at : {0, 63, 64, 130, 191}) {
    Tokens other = text;
    other[at] ^= 1;
    EXPECT_EQ(Known(other), static_cast<std::int64_t>(at) / kKvBlock) << at;
  }
  // The same tokens at another place are another page.
  EXPECT_EQ(Known(Tokens(text.begin() + 64, text.end())), 0);
}

TEST_F(PrefixCacheTest, BranchesShareTheirBeginning) {
  const Tokens begin = SomeTokens(64, 1), a = SomeTokens(64, 2), b = SomeTokens(64, 3);
  Insert(Joined(begin, a));
  Insert(Joined(begin, b));
  EXPECT_EQ(prefixes_.size(), 3);
  EXPECT_EQ(pool_->used_pages(), 3);  // the second's own first page was given up
  EXPECT_EQ(Known(Joined(begin, a)), 2);
  EXPECT_EQ(Known(Joined(begin, b)), 2);
  EXPECT_EQ(Known(Joined(a, b)), 0);
}

TEST_F(PrefixCacheTest, TheFirstPageOfTheSameTokensStays) {
  const Tokens text = SomeTokens(64, 1);
  std::vector<KvPage> first = pool_->Take(1), second = pool_->Take(1);
  EXPECT_EQ(prefixes_.Insert(text, first), first);
  EXPECT_EQ(prefixes_.Insert(text, second), first);
  EXPECT_EQ(prefixes_.Find(text), first);
  first.clear();  // nobody holds it now
  EXPECT_EQ(prefixes_.Insert(text, second), second);
  EXPECT_EQ(prefixes_.Find(text), second);
  EXPECT_EQ(pool_->used_pages(), 1);
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedEndsFirst) {
  const Tokens a = SomeTokens(128, 1), b = SomeTokens(128, 2), c = SomeTokens(64, 3);
  Insert(a);
  Insert(b);
  Insert(c);
  EXPECT_EQ(Known(a), 2);  // used now
  EXPECT_EQ(prefixes_.evictable(), 5);
  EXPECT_EQ(prefixes_.Evict(1), 1);
  EXPECT_EQ(pool_->used_pages(), 4);
  EXPECT_EQ(Known(b), 1);  // used now
  EXPECT_EQ(prefixes_.Evict(2), 2);
  EXPECT_EQ(Known(c), 0);
  EXPECT_EQ(Known(a), 1);
  EXPECT_EQ(Known(b), 1);
  EXPECT_EQ(prefixes_.Evict(9), 2);
  EXPECT_EQ(prefixes_.size(), 0);
  EXPECT_EQ(pool_->used_pages(), 0);
}

TEST_F(PrefixCacheTest, KeepsWhatASequenceHolds) {
  const Tokens a = SomeTokens(192, 1);
  Insert(a);
  std::vector<KvPage> held = prefixes_.Find(Tokens(a.begin(), a.begin() + 128));
  EXPECT_EQ(prefixes_.evictable(), 1);
  EXPECT_EQ(prefixes_.Evict(9), 1);
  EXPECT_EQ(Known(a), 2);
  held.clear();
  EXPECT_EQ(prefixes_.Evict(9), 2);
}

// A page whose beginning was evicted could not be found again.
TEST_F(PrefixCacheTest, ABeginningOutlivesItsContinuation) {
  const Tokens a = SomeTokens(128, 1);
  Insert(a);
  const KvPage second = prefixes_.Find(a)[1];
  EXPECT_EQ(prefixes_.Evict(9), 0);
  EXPECT_EQ(Known(a), 2);
}

}  // namespace
}  // namespace longspan
