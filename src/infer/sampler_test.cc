#include "infer/sampler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "base/random.h"

namespace longspan {
namespace {

SamplerOptions Plain() {
  SamplerOptions options;
  options.temperature = 1.0;
  options.top_k = 0;
  options.top_p = 1.0;
  options.min_p = 0.0;
  return options;
}

std::vector<float> LogsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + 3.0f);
  return logits;
}

// Shares of tokens in many draws.
std::map<std::int32_t, double> Shares(const SamplerOptions& options, const std::vector<float>& logits,
                                      std::span<const std::int32_t> history = {}) {
  constexpr int kDraws = 20000;
  Sampler sampler(options);
  std::map<std::int32_t, double> shares;
  for (int i = 0; i < kDraws; ++i) shares[sampler.Sample(logits, history)] += 1.0 / kDraws;
  return shares;
}

constexpr double kNear = 0.015;  // four standard deviations of a share of 20,000 draws

TEST(Sampler, DrawsTheDistribution) {
  const auto shares = Shares(Plain(), LogsOf({0.1, 0.2, 0.3, 0.4}));
  EXPECT_NEAR(shares.at(0), 0.1, kNear);
  EXPECT_NEAR(shares.at(1), 0.2, kNear);
  EXPECT_NEAR(shares.at(2), 0.3, kNear);
  EXPECT_NEAR(shares.at(3), 0.4, kNear);
}

TEST(Sampler, TemperatureSharpens) {
  SamplerOptions options = Plain();
  options.temperature = 0.5;  // squares probabilities
  const auto shares = Shares(options, LogsOf({0.2, 0.8}));
  EXPECT_NEAR(shares.at(0), 0.04 / 0.68, kNear);
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  SamplerOptions options = Plain();
  options.top_k = 2;
  const auto shares = Shares(options, LogsOf({0.1, 0.2, 0.3, 0.4}));
  EXPECT_EQ(shares.size(), 2);
  EXPECT_NEAR(shares.at(2), 3.0 / 7, kNear);
  EXPECT_NEAR(shares.at(3), 4.0 / 7, kNear);
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  SamplerOptions options = Plain();
  options.top_p = 0.65;
  const auto shares = Shares(options, LogsOf({0.1, 0.2, 0.3, 0.4}));
  EXPECT_EQ(shares.size(), 2);
  options.top_p = 0.75;
  EXPECT_EQ(Shares(options, LogsOf({0.1, 0.2, 0.3, 0.4})).size(), 3);
  options.top_p = 1e-6;
  EXPECT_THAT(Shares(options, LogsOf({0.1, 0.2, 0.3, 0.4})), testing::ElementsAre(testing::Key(3)));
}

TEST(Sampler, TopPSortsPastItsFirstBlock) {
  SamplerOptions options = Plain();
  options.top_p = 0.5;
  const std::vector<float> uniform(1000, 0.0f);
  std::set<std::int32_t> seen;
  Sampler sampler(options);
  for (int i = 0; i < 8000; ++i) seen.insert(sampler.Sample(uniform));
  EXPECT_EQ(seen.size(), 500);
  EXPECT_EQ(*seen.rbegin(), 499);  // of equals, the lower tokens
}

TEST(Sampler, TopKOfALargeVocabulary) {
  SamplerOptions options = Plain();
  options.top_k = 300;
  std::vector<float> logits(20000);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(i * 7919 % logits.size()) * 1e-5f;
  Sampler sampler(options);
  std::set<std::int32_t> seen;
  for (int i = 0; i < 5000; ++i) {
    const std::int32_t token = sampler.Sample(logits);
    EXPECT_GE(logits[static_cast<std::size_t>(token)], 0.197f - 1e-6f);
    seen.insert(token);
  }
  EXPECT_EQ(seen.size(), 300);
}

TEST(Sampler, MinPIsRelativeToTheLikeliest) {
  SamplerOptions options = Plain();
  options.min_p = 0.6;
  EXPECT_THAT(Shares(options, LogsOf({0.1, 0.2, 0.3, 0.4})),
              testing::ElementsAre(testing::Key(2), testing::Key(3)));
}

TEST(Sampler, PenaltyCountsTheWindowOnce) {
  SamplerOptions options = Plain();
  options.temperature = 0;
  options.repeat_penalty = 2.0;
  options.repeat_window = 2;
  Sampler sampler(options);
  const std::vector<float> logits{4.0f, 3.0f, -1.0f};
  EXPECT_EQ(sampler.Sample(logits), 0);
  EXPECT_EQ(sampler.Sample(logits, std::vector<std::int32_t>{0, 2}), 1);
  EXPECT_EQ(sampler.Sample(logits, std::vector<std::int32_t>{0, 2, 2}), 0);  // 0 has left the window
  EXPECT_EQ(sampler.Sample(std::vector<float>{4.0f, 1.5f}, std::vector<std::int32_t>{0, 0}), 0);  // 2, not 1
  EXPECT_EQ(sampler.Sample(std::vector<float>{-1.0f, -1.5f}, std::vector<std::int32_t>{0}), 1);
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  SamplerOptions options;
  options.temperature = 0;
  EXPECT_EQ(Sampler(options).Sample(std::vector<float>{1, 7, 7, 2}), 1);
}

TEST(Sampler, ASeedRepeatsAndAnotherDiffers) {
  std::vector<float> logits(5000);
  Random random(1, 0, RandomPurpose::kTest);
  for (float& x : logits) x = random.Normal();
  SamplerOptions options;
  options.min_p = 0;
  const auto draw = [&](std::uint64_t seed) {
    options.seed = seed;
    Sampler sampler(options);
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.Sample(logits));
    return tokens;
  };
  EXPECT_EQ(draw(5), draw(5));
  EXPECT_NE(draw(5), draw(6));
}

TEST(Sampler, ForbiddenTokensAreNeverDrawn) {
  const float never = -std::numeric_limits<float>::infinity();
  const auto shares = Shares(Plain(), {never, 0.0f, never});
  EXPECT_THAT(shares, testing::ElementsAre(testing::Key(1)));
}

TEST(Sampler, RefusesWhatCannotBe) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Sampler sampler(Plain());
  EXPECT_THROW(sampler.Sample(std::vector<float>{nan, nan}), Error);
  SamplerOptions options;
  options.top_p = 0;
  EXPECT_THROW(Sampler{options}, Error);
  options = SamplerOptions{};
  options.temperature = -1;
  EXPECT_THROW(Sampler{options}, Error);
}

}  // namespace
}  // namespace longspan
