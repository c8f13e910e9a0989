#include "plan/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/stage_memory.h"

namespace longspan {
namespace {

LlamaConfig Llama3() {
  LlamaConfig c;
  c.vocab_size = 128'256;
  c.dim = 4096;
  c.layers = 32;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_dim = 128;
  c.hidden_dim = 14'336;
  return c;
}

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

TEST(ChangesForTraining, SaysNothingWhereItFits) {
  const auto changes = ChangesForTraining(Llama3(), {}, 8192, 8, 0, 24 * kGiB);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->empty());
}

// Training fits after the changes, and the cheapest change comes first.
TEST(ChangesForTraining, FitsAfterWhatItSays) {
  TrainOptions options;
  options.recompute = false;
  options.batch_size = 4;
  options.gradient_accumulation = 2;
  for (const std::int64_t gib : {40, 16, 8, 4}) {
    const auto changes = ChangesForTraining(Llama3(), options, 8192, 8, kGiB, gib * kGiB);
    ASSERT_TRUE(changes) << gib;
    TrainOptions changed = options;
    std::int64_t length = 8192;
    for (const KeyChange& change : *changes) {
      if (change.key == "train.recompute") changed.recompute = true;
      if (change.key == "train.batch_size") changed.batch_size = std::stoll(change.value);
      if (change.key == "train.gradient_accumulation")
        changed.gradient_accumulation = std::stoll(change.value);
      if (change.key == "train.rank") changed.rank = std::stoll(change.value);
      if (change.key == "context.window") length = std::stoll(change.value);
    }
    EXPECT_LE(kGiB + TotalBytes(TrainingMemory(Llama3(), changed, length, 8)), gib * kGiB);
    EXPECT_GE(changed.ExamplesPerStep(), options.ExamplesPerStep());
    EXPECT_TRUE(changed.recompute);
  }
}

TEST(ChangesForTraining, SaysSoWhereNothingHelps) {
  EXPECT_FALSE(ChangesForTraining(Llama3(), {}, 8192, 8, 0, kGiB / 64));
}

TEST(LongestTextWithin, FitsAndIsTheLongest) {
  const std::int64_t longest = LongestTextWithin(Llama3(), 2, 8 * kGiB);
  EXPECT_GT(longest, 8192);
  EXPECT_LE(TotalBytes(ReadingMemory(Llama3(), longest, 2)), 8 * kGiB);
  EXPECT_GT(TotalBytes(ReadingMemory(Llama3(), longest + 64, 2)), 8 * kGiB);
}

TEST(Describe, OfChangesIsYaml) {
  EXPECT_EQ(Describe({{"train.recompute", "true"}, {"train.rank", "32"}}),
            "train.recompute: true, train.rank: 32");
}

}  // namespace
}  // namespace longspan
