#include "eval/kld.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "base/testing/expect_error.h"
#include "eval/likelihood.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

std::vector<float> Logs(const std::vector<double>& probabilities, double shift = 0) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + shift));
  return logits;
}

TEST(KlDivergence, OfKnownDistributions) {
  const auto p = Logs({0.5, 0.25, 0.25}), q = Logs({0.25, 0.5, 0.25}, 5.0);
  EXPECT_NEAR(KlDivergence(p, q), 0.5 * std::log(2.0) - 0.25 * std::log(2.0), 1e-6);
  EXPECT_EQ(KlDivergence(p, p), 0.0);
  EXPECT_NEAR(KlDivergence(p, Logs({0.5, 0.25, 0.25}, -3.0)), 0.0, 1e-6);
  // Not symmetric.
  const auto sharp = Logs({0.9, 0.05, 0.05});
  EXPECT_NEAR(KlDivergence(sharp, p), 0.9 * std::log(1.8) + 0.1 * std::log(0.2), 1e-6);
  EXPECT_NEAR(KlDivergence(p, sharp), 0.5 * std::log(0.5 / 0.9) + 0.5 * std::log(5.0), 1e-6);
}

// Compared with sums in double, over rows as wide and as steep as a model's.
TEST(KlDivergence, IsAsGoodAsDouble) {
  const auto total = [](const std::vector<float>& x) {
    double sum = 0;
    for (const float v : x) sum += std::exp(double{v});
    return std::log(sum);
  };
  for (const std::size_t n : {1u, 15u, 300u, 40000u}) {
    for (const float steep : {0.1f, 3.0f, 30.0f}) {
      Random random(n, static_cast<std::uint64_t>(steep), RandomPurpose::kTest);
      std::vector<float> p(n), q(n);
      for (std::size_t i = 0; i < n; ++i) {
        p[i] = steep * random.Normal() + 7;
        q[i] = p[i] + 0.05f * random.Normal();
      }
      const double p_total = total(p), q_total = total(q);
      double divergence = 0;
      for (std::size_t i = 0; i < n; ++i)
        divergence += std::exp(p[i] - p_total) * (p[i] - p_total - (q[i] - q_total));
      EXPECT_NEAR(LogSumExp(p), p_total, 3e-7 * std::abs(p_total));
      EXPECT_NEAR(KlDivergence(p, q), divergence, 1e-6 * divergence + 3e-7);
    }
  }
}

FakeSequence Noisy(double noise, std::uint64_t seed) {
  return FakeSequence(20, [=](std::span<const std::int32_t> tokens, std::span<float> logits) {
    Random same(1, tokens.size() * 64 + static_cast<std::uint64_t>(tokens.back()), RandomPurpose::kTest);
    Random own(seed, tokens.size(), RandomPurpose::kTest);
    for (float& x : logits) x = 2 * same.Normal() + static_cast<float>(noise) * own.Normal();
  });
}

TokenDocument Text(std::int64_t tokens) {
  Random random(3, 0, RandomPurpose::kTest);
  TokenDocument document;
  for (std::int64_t i = 0; i < tokens; ++i) document.push_back(static_cast<std::int32_t>(random.Below(20)));
  return document;
}

TEST(Kld, OfAModelWithItselfIsNothing) {
  FakeSequence model = Noisy(0, 1), reference = Noisy(0, 2);
  const std::vector<TokenDocument> documents{Text(1000)};
  const KldResult r = MeasureKld(model, reference, documents, 0, {.context = 128});
  EXPECT_EQ(r.tokens, 7 * 63);
  EXPECT_EQ(r.mean, 0);
  EXPECT_EQ(r.max, 0);
  EXPECT_EQ(r.same_top, 1);
  EXPECT_EQ(r.rms_delta_p, 0);
  EXPECT_EQ(r.perplexity, r.reference_perplexity);
}

TEST(Kld, GrowsWithNoise) {
  FakeSequence reference = Noisy(0, 2), little = Noisy(0.05, 3), much = Noisy(1, 4);
  const std::vector<TokenDocument> documents{Text(1000)};
  const KldResult a = MeasureKld(little, reference, documents, 0, {.context = 128});
  const KldResult b = MeasureKld(much, reference, documents, 0, {.context = 128});
  EXPECT_GT(a.mean, 0);
  EXPECT_GT(b.mean, 20 * a.mean);
  EXPECT_GT(a.same_top, b.same_top);
  EXPECT_LE(a.median, a.p90);
  EXPECT_LE(a.p90, a.p99);
  EXPECT_LE(a.p99, a.max);
  EXPECT_GT(b.rms_delta_p, a.rms_delta_p);
  EXPECT_EQ(a.reference_perplexity, b.reference_perplexity);
}

TEST(Kld, StatisticsByHand) {
  // The reference is certain to 1/2 of whatever comes; the model gives 1/4 after even tokens and agrees after
  // odd.
  const auto p = Logs({0.5, 0.25, 0.25}), q = Logs({0.25, 0.5, 0.25});
  FakeSequence reference(3, [&](auto, std::span<float> logits) { std::ranges::copy(p, logits.begin()); });
  FakeSequence model(3, [&](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::copy(tokens.back() == 0 ? q : p, logits.begin());
  });
  // Windows of 5 with BOS: one window, whose scored targets are document[2] and document[3].
  const std::vector<TokenDocument> documents{{0, 1, 0, 1}};
  const KldResult r = MeasureKld(model, reference, documents, 2, {.context = 5});
  const double kl = 0.25 * std::log(2.0);
  ASSERT_EQ(r.tokens, 2);
  EXPECT_NEAR(r.mean, kl / 2, 1e-6);
  EXPECT_NEAR(r.median, kl / 2, 1e-6);
  EXPECT_NEAR(r.max, kl, 1e-6);
  EXPECT_EQ(r.same_top, 0.5);
  EXPECT_NEAR(r.rms_delta_p, std::sqrt(0.25 * 0.25 / 2), 1e-6);
}

// NaN once passed for a divergence of 0, so that a broken model looked perfect.
TEST(Kld, RefusesLogitsThatAreNotNumbers) {
  EXPECT_TRUE(std::isnan(KlDivergence(std::vector<float>{0, 1}, std::vector<float>{NAN, 1})));
  EXPECT_TRUE(std::isnan(KlDivergence(std::vector<float>{0, NAN}, std::vector<float>{0, 1})));
  const std::vector<TokenDocument> documents{Text(1000)};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    FakeSequence broken(20, [bad](auto tokens, std::span<float> logits) {
      std::ranges::fill(logits, 0.0f);
      if (tokens.size() == 100) logits[3] = bad;
    });
    FakeSequence good = Noisy(0, 2);
    EXPECT_THAT(ErrorOf([&] { MeasureKld(broken, good, documents, 0, {.context = 128}); }),
                HasSubstr("the model's logits are not numbers"));
    EXPECT_THAT(ErrorOf([&] { MeasureKld(good, broken, documents, 0, {.context = 128}); }),
                HasSubstr("the reference model's logits are not numbers"));
  }
}

TEST(Kld, ProgressCountsWhatBothModelsRead) {
  class Counting : public Progress {
   public:
    void Start(std::string_view, std::int64_t total, std::string_view) override { total_ = total; }
    void Update(std::int64_t done, std::string_view) override { done_ = done; }
    std::int64_t total_ = 0, done_ = 0;
  } progress;
  const std::vector<TokenDocument> documents{Text(1000)};
  FakeSequence model = Noisy(0, 1), reference = Noisy(0, 2);
  MeasureKld(model, reference, documents, 0, {.context = 128}, progress);
  EXPECT_EQ(progress.total_, model.forwarded() + reference.forwarded());
  EXPECT_EQ(progress.done_, progress.total_);
}

TEST(Kld, RefusesOtherVocabularies) {
  FakeSequence a = Noisy(0, 1);
  FakeSequence b(21, [](auto, std::span<float>) {});
  const std::vector<TokenDocument> documents{Text(1000)};
  EXPECT_THROW(MeasureKld(a, b, documents, 0, {}), Error);
  EXPECT_THROW(MeasureKld(a, a, documents, 0, {.context = 2000}), Error);
}

}  // namespace
}  // namespace longspan
