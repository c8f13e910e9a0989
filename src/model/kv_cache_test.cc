// The cache as a Transformer sees it. What it holds is known by what the next token's attention makes of it.
#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "base/error.h"
#include "model/testing/small_model.h"
#include "model/transformer.h"

namespace longspan {
namespace {

using oracle::SmallConfig;

// A copy's pages would be the original's.
static_assert(!std::is_copy_constructible_v<KvCache> && !std::is_copy_assignable_v<KvCache>);

class KvCacheTest : public testing::Test {
 protected:
  // Hidden states of tokens [first, first + count), the cache holding what is before them.
  Matrix Run(KvCache& cache, std::int64_t first, std::int64_t count) const {
    EXPECT_EQ(cache.length(), first);
    Matrix hidden(count, config_.dim);
    model_.Forward(
        std::span(tokens_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), cache,
        hidden);
    return hidden;
  }
  void ExpectSame(const Matrix& a, const Matrix& b, const std::string& what) const {
    EXPECT_TRUE(std::ranges::equal(a.span(), b.span())) << what;
  }

  LlamaConfig config_ = SmallConfig();
  Transformer model_{config_, oracle::LivelyWeights(config_, 1), ReferenceKernels()};
  std::vector<std::int32_t> tokens_ = oracle::RandomTokens(200, config_.vocab_size);
};

TEST_F(KvCacheTest, GrowsWithTheSequence) {
  KvCache cache(config_);
  EXPECT_EQ(cache.length(), 0);
  Run(cache, 0, 63);
  EXPECT_EQ(cache.length(), 63);
  Run(cache, 63, 1);
  Run(cache, 64, 1);
  EXPECT_EQ(cache.length(), 65);
}

TEST_F(KvCacheTest, CountsBytesByPages) {
  // 2 layers x 2 (keys, values) x 64 tokens x 2 heads x 8 dimensions x 4 bytes
  constexpr std::int64_t kPageOfAllLayers = 2 * 2 * 64 * 2 * 8 * 4;
  EXPECT_EQ(KvCache::Bytes(config_, 0), 0);
  EXPECT_EQ(KvCache::Bytes(config_, 1), kPageOfAllLayers);
  EXPECT_EQ(KvCache::Bytes(config_, 64), kPageOfAllLayers);
  EXPECT_EQ(KvCache::Bytes(config_, 65), 2 * kPageOfAllLayers);
}

TEST_F(KvCacheTest, CachesHoldTheTypeTheyAreMadeWith) {
  EXPECT_EQ(2 * KvCache::Bytes(config_, 65, Type::kBF16), KvCache::Bytes(config_, 65, Type::kF32));
  KvCache exact(config_), rounded(config_, Type::kF16);
  const Matrix want = Run(exact, 0, 100), got = Run(rounded, 0, 100);
  EXPECT_FALSE(std::ranges::equal(got.span(), want.span()));
  for (std::size_t i = 0; i < want.span().size(); ++i) ASSERT_NEAR(got.span()[i], want.span()[i], 0.05) << i;
  EXPECT_THROW(KvCache(config_, Type::kQ8_0), Error);  // this model's heads are smaller than a block
}

TEST_F(KvCacheTest, TruncateForgetsAtPageBorders) {
  for (const std::int64_t keep : {0, 1, 62, 63, 64, 65, 127, 128, 129, 149}) {
    KvCache cache(config_), fresh(config_);
    Run(cache, 0, 150);
    cache.Truncate(keep);
    if (keep > 0) Run(fresh, 0, keep);
    ExpectSame(Run(cache, keep, 40), Run(fresh, keep, 40), "kept " + std::to_string(keep));
  }
}

TEST_F(KvCacheTest, TruncateNeverGrows) {
  KvCache cache(config_);
  Run(cache, 0, 10);
  cache.Truncate(100);
  EXPECT_EQ(cache.length(), 10);
  KvCache fresh(config_);
  Run(fresh, 0, 10);
  ExpectSame(Run(cache, 10, 3), Run(fresh, 10, 3), "after a truncation that does nothing");
}

TEST_F(KvCacheTest, ClearStartsAnew) {
  KvCache cache(config_), fresh(config_);
  Run(cache, 0, 70);
  cache.Clear();
  EXPECT_EQ(cache.length(), 0);
  ExpectSame(Run(cache, 0, 70), Run(fresh, 0, 70), "after Clear");
}

TEST_F(KvCacheTest, MovesWithItsPages) {
  KvCache cache(config_), fresh(config_);
  Run(cache, 0, 70);
  Run(fresh, 0, 70);
  KvCache moved = std::move(cache);
  EXPECT_EQ(moved.length(), 70);
  ExpectSame(Run(moved, 70, 5), Run(fresh, 70, 5), "after a move");
}

TEST_F(KvCacheTest, CachesAreApart) {
  KvCache a(config_), b(config_), alone(config_);
  Run(a, 0, 30);
  Run(b, 0, 70);
  Run(alone, 0, 30);
  ExpectSame(Run(a, 30, 5), Run(alone, 30, 5), "beside another cache");
}

}  // namespace
}  // namespace longspan
