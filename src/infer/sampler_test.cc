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
    EXPECT_GE(logits[token], 0.197f - 1e-6f);
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
  const double inf = std::numeric_limits<double>::infinity();
  for (double SamplerOptions::*const option : {&SamplerOptions::temperature, &SamplerOptions::top_p,
                                               &SamplerOptions::min_p, &SamplerOptions::repeat_penalty}) {
    for (const double value : {std::numeric_limits<double>::quiet_NaN(), inf, -inf, -1.0, -5e-324}) {
      options = SamplerOptions{};
      options.*option = value;
      EXPECT_THROW(Sampler{options}, Error) << value;
    }
  }
  for (std::int64_t SamplerOptions::*const option :
       {&SamplerOptions::top_k, &SamplerOptions::repeat_window}) {
    options = SamplerOptions{};
    options.*option = -1;
    EXPECT_THROW(Sampler{options}, Error);
  }
}

// The model is to blame, and not the program.
TEST(Sampler, LogitsThatAreNotNumbersAreAFaultOfTheFile) {
  Sampler sampler(Plain());
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::infinity()}) {
    try {
      sampler.Sample(std::vector<float>(3, value));
      ADD_FAILURE() << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile);
    }
  }
}

// A temperature whose reciprocal is infinite.
TEST(Sampler, TheColdestTemperatureIsGreedy) {
  SamplerOptions options;
  options.temperature = 1e-310;
  Sampler sampler(options);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1.0f, 7.0f, 6.999f}), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-3e38f, -2e38f, 0.0f}), 2);
}

TEST(Sampler, AKBeyondTheVocabularyKeepsAll) {
  SamplerOptions options = Plain();
  options.min_p = 0.5;
  const std::vector<float> logits(5000, 1.0f);
  for (const std::int64_t k : {std::int64_t{4999}, std::int64_t{5001}, std::int64_t{1} << 62,
                               std::numeric_limits<std::int64_t>::max()}) {
    options.top_k = k;
    Sampler sampler(options);
    std::int32_t lowest = 5000, highest = 0;
    for (int i = 0; i < 200; ++i) {
      const std::int32_t token = sampler.Sample(logits);
      lowest = std::min(lowest, token);
      highest = std::max(highest, token);
    }
    EXPECT_LT(lowest, 500) << k;
    EXPECT_GT(highest, 4500) << k;
    EXPECT_LT(highest, 5000) << k;
  }
}

// Every option at its limits, with extreme logits, draws a token of the vocabulary that is not forbidden.
TEST(Sampler, AnyOptionsThatAreAcceptedDrawAToken) {
  const float never = -std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  const std::vector<std::vector<float>> rows{{0, 0, 0, never},
                                             {most, -most, 0, never},
                                             {-most, -most, -most, never},
                                             {1e-45f, 0, -1e-45f, never},
                                             {-1, -2, -3, never},
                                             {most, most, most, never},
                                             {1, 2, 3, std::nanf("")}};
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int32_t> history{0, 1, 2, 3, 0, 99};
  SamplerOptions options;
  for (const double temperature : {0.0, 5e-324, 1e-310, 1e-30, 1.0, 1e30, 1.7e308}) {
    for (const double top_p : {5e-324, 1e-300, 0.5, 1.0}) {
      for (const double min_p : {0.0, 5e-324, 0.5, 1.0}) {
        for (const double penalty : {5e-324, 1e-310, 1e-30, 1.0, 1e30, 1.7e308}) {
          for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, kMost}) {
            options = {temperature, k, top_p, min_p, penalty, k == 0 ? kMost : 3};
            Sampler sampler(options);
            for (const std::vector<float>& row : rows) {
              const std::int32_t token = sampler.Sample(row, history);
              ASSERT_TRUE(token >= 0 && token < 3)
                  << token << ": temperature " << temperature << ", k " << k << ", p " << top_p << ", min-p "
                  << min_p << ", penalty " << penalty << ", logits from " << row[0];
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace longspan
