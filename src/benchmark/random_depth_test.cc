#include "benchmark/random_depth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/testing/small_model.h"
#include "model/transformer.h"

namespace longspan {
namespace {

const LlamaConfig kConfig = oracle::SmallConfig();

// Hidden states of forty tokens after what `cache` holds.
Matrix Continue(KvCache& cache) {
  const Transformer model(kConfig, oracle::LivelyWeights(kConfig, 1), ReferenceKernels());
  Matrix hidden(40, kConfig.dim);
  model.Forward(oracle::RandomTokens(40, kConfig.vocab_size), cache, hidden);
  return hidden;
}

TEST(RandomDepth, IsDepthLikeAnyOther) {
  KvCache once(kConfig), longer(kConfig), fewer(kConfig);
  AppendRandom(ReferenceKernels(), 100, once);
  EXPECT_EQ(once.length(), 100);
  AppendRandom(ReferenceKernels(), 150, longer);
  longer.Truncate(100);
  const Matrix hidden = Continue(once);
  EXPECT_EQ(once.length(), 140);
  for (const float x : hidden.span()) ASSERT_TRUE(std::isfinite(x));
  EXPECT_TRUE(std::ranges::equal(hidden.span(), Continue(longer).span()));
  // The model attends to the random tokens.
  AppendRandom(ReferenceKernels(), 90, fewer);
  EXPECT_FALSE(std::ranges::equal(hidden.span(), Continue(fewer).span()));
}

TEST(RandomDepth, JoinsWhatIsThere) {
  KvCache once(kConfig), twice(kConfig);
  AppendRandom(ReferenceKernels(), kKvBlock + 30, once);
  AppendRandom(ReferenceKernels(), kKvBlock, twice);
  AppendRandom(ReferenceKernels(), 30, twice);
  EXPECT_TRUE(std::ranges::equal(Continue(once).span(), Continue(twice).span()));
}

TEST(RandomDepth, KeepsToThePoolsLimit) {
  const auto pool = KvPagePool::Make(kConfig, Type::kF32, KvCache::Bytes(kConfig, 2 * kKvBlock));
  KvCache cache(pool);
  EXPECT_THROW(AppendRandom(ReferenceKernels(), 2 * kKvBlock + 1, cache), Error);
  EXPECT_EQ(cache.length(), 0);
  AppendRandom(ReferenceKernels(), 2 * kKvBlock, cache);
  EXPECT_EQ(cache.length(), 2 * kKvBlock);
}

}  // namespace
}  // namespace longspan
