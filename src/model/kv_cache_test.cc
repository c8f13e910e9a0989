// The cache as a Transformer sees it. What it holds shows in the next token's attention.
#include "model/kv_cache.h"

#include <gmock/gmock.h>

#include <type_traits>

#include "base/error.h"
#include "model/testing/small_model.h"
#include "model/transformer.h"

namespace longspan {
namespace {

using oracle::SmallConfig;

// A copy would share the original's pages.
static_assert(!std::is_copy_constructible_v<KvCache> && !std::is_copy_assignable_v<KvCache>);

class KvCacheTest : public testing::Test {
 protected:
  // Hidden states of tokens [first, first + count). The cache must hold the tokens before them.
  Matrix Run(KvCache& cache, std::int64_t first, std::int64_t count) const {
    EXPECT_EQ(cache.length(), first);
    Matrix hidden(count, config_.dim);
    model_.Forward(std::span(tokens_).subspan(first, count), cache, hidden);
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

TEST_F(KvCacheTest, AForkSharesPagesAndGoesItsOwnWay) {
  for (const std::int64_t length : {1, 63, 64, 65, 128, 150}) {
    const auto pool = KvPagePool::Make(config_, Type::kF32);
    KvCache cache(pool), fresh(config_);
    Run(cache, 0, length);
    Run(fresh, 0, length);
    KvCache fork = cache.Fork();
    const std::int64_t pages = KvPages(length);
    EXPECT_EQ(pool->used_pages(), pages);
    EXPECT_EQ(cache.PagesFor(0), 0);
    // The last page is copied when the first of the two must write to it.
    EXPECT_EQ(fork.PagesFor(1), 1);
    const std::vector<std::int32_t> other{7, 8, 9};
    Matrix hidden(3, config_.dim);
    model_.Forward(other, fork, hidden);
    EXPECT_EQ(pool->used_pages(), KvPages(length + 3) + (length % kKvBlock == 0 ? 0 : 1));
    EXPECT_EQ(cache.PagesFor(1), length % kKvBlock == 0 ? 1 : 0);
    fork.Truncate(length);
    ExpectSame(Run(cache, length, 5), Run(fresh, length, 5), "the original after " + std::to_string(length));
    fresh.Truncate(length);
    ExpectSame(Run(fork, length, 5), Run(fresh, length, 5), "the fork after " + std::to_string(length));
  }
}

TEST_F(KvCacheTest, TruncatedIntoASharedPageItIsCopied) {
  const auto pool = KvPagePool::Make(config_, Type::kF32);
  KvCache cache(pool), fresh(config_);
  Run(cache, 0, 128);
  Run(fresh, 0, 128);
  KvCache fork = cache.Fork();
  fork.Truncate(70);
  EXPECT_EQ(fork.PagesFor(10), 1);
  Matrix hidden(10, config_.dim);
  model_.Forward(std::vector<std::int32_t>(10, 3), fork, hidden);
  ExpectSame(Run(cache, 128, 5), Run(fresh, 128, 5), "beside a truncated fork");
}

TEST_F(KvCacheTest, ContinuesWithWholePagesOfAnother) {
  const auto pool = KvPagePool::Make(config_, Type::kF32);
  KvCache cache(pool), sharer(pool);
  Run(cache, 0, 150);
  sharer.Share(cache.pages().first(1));
  EXPECT_EQ(sharer.length(), 64);
  sharer.Share(cache.pages().subspan(1, 1));
  KvCache fresh(config_);
  Run(fresh, 0, 128);
  ExpectSame(Run(sharer, 128, 5), Run(fresh, 128, 5), "over shared pages");
  EXPECT_THROW(sharer.Share(cache.pages().first(1)), Error);
}

// Two caches that read the same tokens separately come to share whole pages. Then they continue separately.
TEST_F(KvCacheTest, AdoptsWholePagesOfTheSameTokens) {
  const auto pool = KvPagePool::Make(config_, Type::kF32);
  KvCache cache(pool), twin(pool), alone(config_);
  Run(cache, 0, 100);
  Run(twin, 0, 100);
  Run(alone, 0, 100);
  EXPECT_EQ(pool->used_pages(), 4);
  twin.Adopt(cache.pages().first(1));
  EXPECT_EQ(pool->used_pages(), 3);
  EXPECT_EQ(twin.length(), 100);
  const Matrix want = Run(alone, 100, 20);
  ExpectSame(Run(twin, 100, 20), want, "the adopter");
  ExpectSame(Run(cache, 100, 20), want, "the other");
  EXPECT_THROW(twin.Adopt(cache.pages()), Error);  // the last is not full
}

TEST_F(KvCacheTest, PagesComeBackAndStayWithinTheLimit) {
  const std::int64_t page = KvCache::Bytes(config_, 1);
  const auto pool = KvPagePool::Make(config_, Type::kF32, 4 * page + 1);
  EXPECT_EQ(pool->page_bytes(), page);
  EXPECT_EQ(pool->max_pages(), 4);
  KvCache a(pool), b(pool), fresh(config_);
  Run(a, 0, 100);
  Run(b, 0, 120);
  EXPECT_EQ(pool->free_pages(), 0);
  Matrix hidden(40, config_.dim);
  EXPECT_THAT(
      [&] { model_.Forward(std::span(tokens_).subspan(100, 40), a, hidden); },
      testing::ThrowsMessage<Error>(testing::AllOf(testing::HasSubstr("needs 0.02 MiB more"),
                                                   testing::HasSubstr("0.06 MiB of its limit of 0.06 MiB"))));
  EXPECT_EQ(a.length(), 100);
  b.Clear();
  EXPECT_EQ(pool->free_pages(), 2);
  Run(fresh, 0, 100);
  ExpectSame(Run(a, 100, 40), Run(fresh, 100, 40), "after running out of pages");
  a.Clear();
  EXPECT_EQ(pool->used_pages(), 0);
}

// Types differ in what they round, not in how pages are shared and given back.
TEST(KvCacheTypeTest, EveryTypeGrowsForksAndTruncates) {
  LlamaConfig config = SmallConfig();
  config.head_dim = 32;
  const std::vector<std::int32_t> tokens = oracle::RandomTokens(200, config.vocab_size);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return std::span(tokens).subspan(first, static_cast<std::size_t>(count));
  };
  for (const std::string& isa : AvailableKernels()) {
    const Transformer model(config, oracle::LivelyWeights(config, 1), ChooseKernels(isa));
    for (const auto& [type, tolerance] : std::vector<std::pair<Type, double>>{{Type::kF32, 1e-5},
                                                                              {Type::kF16, 5e-3},
                                                                              {Type::kBF16, 4e-2},
                                                                              {Type::kQ8_0, 4e-2},
                                                                              {Type::kQ4_0, 0.5}}) {
      const auto run = [&](KvCache& cache, std::int64_t first, std::int64_t count) {
        Matrix hidden(count, config.dim);
        model.Forward(part(first, count), cache, hidden);
        return hidden;
      };
      const std::string what = fmt::format("{}, {}", isa, Traits(type).name);
      const auto pool = KvPagePool::Make(config, type);
      EXPECT_EQ(pool->page_bytes(), KvCache::Bytes(config, 64, type)) << what;
      KvCache exact(config, Type::kF32), cache(pool), fresh(pool);
      run(exact, 0, 130);
      run(cache, 0, 130);
      run(fresh, 0, 130);
      KvCache fork = cache.Fork();
      const Matrix want = run(fresh, 130, 20), got = run(fork, 130, 20), original = run(cache, 130, 20);
      EXPECT_TRUE(std::ranges::equal(got.span(), want.span())) << what;
      EXPECT_TRUE(std::ranges::equal(original.span(), want.span())) << what;
      fork.Truncate(100);
      fresh.Truncate(100);
      EXPECT_TRUE(std::ranges::equal(run(fork, 100, 70).span(), run(fresh, 100, 70).span())) << what;
      oracle::ExpectClose(got, oracle::Widen(run(exact, 130, 20)), tolerance, what);
    }
  }
}

TEST_F(KvCacheTest, PagesOutliveTheirPoolsOwner) {
  auto pool = KvPagePool::Make(config_, Type::kF32);
  std::vector<KvPage> pages = pool->Take(2);
  pool.reset();
  *pages.front() = std::byte{1};
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
