#include "model/induction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "model/testing/small_model.h"
#include "model/transformer.h"

namespace longspan {
namespace {

LlamaConfig Config() {
  LlamaConfig c;
  c.vocab_size = 500;
  c.dim = 256;
  c.layers = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  c.hidden_dim = 256;
  c.context = 512;
  c.tied_embeddings = true;
  return c;
}

// The loss, in nats per token, on the repetition of a run of random tokens.
double CostOfRepetition(const LlamaConfig& c, const Weights& weights, std::int64_t run) {
  std::vector<std::int32_t> tokens = oracle::RandomTokens(run, c.vocab_size);
  tokens.insert(tokens.end(), tokens.begin(), tokens.begin() + run);
  const Transformer model(c, weights, ChooseKernels("auto"));
  KvCache cache(c);
  Matrix hidden(2 * run, c.dim), logits(2 * run, c.vocab_size);
  model.Forward(tokens, cache, hidden);
  model.Logits(hidden, logits);
  double cost = 0;
  for (std::int64_t i = run; i + 1 < 2 * run; ++i) {
    double sum = 0;
    for (const float x : logits[i]) sum += std::exp(static_cast<double>(x));
    const auto next = static_cast<std::size_t>(tokens[i + 1]);
    cost += std::log(sum) - static_cast<double>(logits[i][next]);
  }
  return cost / static_cast<double>(run - 1);
}

TEST(InductionTest, UntrainedItPredictsWhatCameBefore) {
  const LlamaConfig c = Config();
  const double chance = std::log(static_cast<double>(c.vocab_size));
  for (const std::int64_t run : {10, 50, 200}) {
    EXPECT_NEAR(CostOfRepetition(c, RandomWeights(c, 1), run), chance, 0.2) << run;
    EXPECT_LT(CostOfRepetition(c, InductionWeights(c, 1), run), chance - (run < 100 ? 0.3 : 0.05)) << run;
  }
}

TEST(InductionTest, LeavesTheOtherLayersAsRandomAsTheyWere) {
  const LlamaConfig c = Config();
  const Weights random = RandomWeights(c, 1), induction = InductionWeights(c, 1);
  EXPECT_TRUE(std::ranges::equal(random.layers[2].q.floats(), induction.layers[2].q.floats()));
  EXPECT_TRUE(std::ranges::equal(random.layers[1].gate.floats(), induction.layers[1].gate.floats()));
  EXPECT_FALSE(std::ranges::equal(random.layers[1].q.floats(), induction.layers[1].q.floats()));
  EXPECT_NO_THROW(induction.Validate(c, "here"));
}

TEST(InductionTest, NeedsTwoLayersRoomInAHeadAndTiedEmbeddings) {
  LlamaConfig c = Config();
  c.layers = 1;
  EXPECT_THROW(InductionWeights(c, 1), Error);
  c = Config();
  c.head_dim = 8;
  EXPECT_THROW(InductionWeights(c, 1), Error);
  c = Config();
  c.tied_embeddings = false;
  EXPECT_THROW(InductionWeights(c, 1), Error);
}

}  // namespace
}  // namespace longspan
