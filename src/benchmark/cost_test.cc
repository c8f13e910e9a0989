#include "benchmark/cost.h"

#include <gtest/gtest.h>

#include "model/testing/small_model.h"

namespace longspan {
namespace {

// 2 layers, dim 24, heads 4 (2 for keys) of 8, hidden 40, vocabulary 61.
const LlamaConfig kConfig = oracle::SmallConfig();

TEST(Cost, OneTokenIsTwoOperationsAWeightAndItsAttention) {
  // q and o 24 x 32, k and v 24 x 16, three of 24 x 40; attention to itself alone: 4 x 32.
  const double weights = 2 * 24 * 32 + 2 * 24 * 16 + 3 * 24 * 40;
  EXPECT_EQ(ForwardOperations(kConfig, 1, 0), 2 * (2 * weights + 4 * 32));
  EXPECT_EQ(ForwardOperations(kConfig, 1, 9), 2 * (2 * weights + 10 * 4 * 32));
  EXPECT_EQ(LogitsOperations(kConfig, 3), 2 * 3 * 61 * 24);
}

TEST(Cost, ReadingInPartsCostsTheSame) {
  LlamaConfig config = kConfig;
  for (const std::int64_t window : {0, 1, 5, 50, 500}) {
    config.sliding_window = window;
    EXPECT_EQ(ForwardOperations(config, 100, 7),
              ForwardOperations(config, 60, 7) + ForwardOperations(config, 40, 67));
  }
}

TEST(Cost, AWindowIsAllThatAttentionCosts) {
  LlamaConfig config = kConfig;
  config.sliding_window = 4;
  EXPECT_EQ(ForwardOperations(config, 1, 3), ForwardOperations(kConfig, 1, 3));
  EXPECT_EQ(ForwardOperations(config, 1, 300), ForwardOperations(kConfig, 1, 3));
  EXPECT_EQ(KvBytes(config, 2, Type::kF32), KvBytes(kConfig, 2, Type::kF32));
  EXPECT_EQ(KvBytes(config, 300, Type::kF32), KvBytes(kConfig, 3, Type::kF32));
}

TEST(Cost, APassReadsEveryWeightOnceAndOneRowOfTheEmbedding) {
  const Weights weights = RandomWeights(kConfig, 1);
  const double elements = static_cast<double>(kConfig.Parameters()) - 61 * 24 + 24;
  EXPECT_EQ(WeightBytes(weights), 4 * elements);
  LlamaConfig tied = kConfig;
  tied.tied_embeddings = true;
  // The head is the embedding then, and read whole.
  EXPECT_EQ(WeightBytes(RandomWeights(tied, 1)), 4 * elements);
}

TEST(Cost, KeysAndValuesGrowWithTheDepthAndShrinkWithTheType) {
  // Two layers, two heads of eight.
  EXPECT_EQ(KvBytes(kConfig, 0, Type::kF32), 2 * 2 * 2 * 8 * 4);
  EXPECT_EQ(KvBytes(kConfig, 9, Type::kF32), 10 * KvBytes(kConfig, 0, Type::kF32));
  EXPECT_EQ(2 * KvBytes(kConfig, 9, Type::kBF16), KvBytes(kConfig, 9, Type::kF32));
}

}  // namespace
}  // namespace longspan
