#include "eval/perplexity.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/cancel.h"
#include "base/error.h"
#include "base/random.h"
#include "eval/likelihood.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

constexpr std::int32_t kBos = 0;

TokenDocument Noise(std::int64_t tokens, std::int64_t vocab, std::uint64_t step = 0) {
  Random random(7, step, RandomPurpose::kTest);
  TokenDocument document;
  for (std::int64_t i = 0; i < tokens; ++i)
    document.push_back(static_cast<std::int32_t>(random.Below(vocab)));
  return document;
}

FakeSequence Uniform(std::int64_t vocab) {
  return FakeSequence(vocab, [](auto, std::span<float> logits) { std::ranges::fill(logits, 3.0f); });
}

// After token t, token (t + 1) % vocab has probability 3/4 and the rest share 1/4.
FakeSequence Bigram(std::int64_t vocab) {
  return FakeSequence(vocab, [vocab](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::fill(logits, static_cast<float>(std::log(0.25 / static_cast<double>(vocab - 1))));
    logits[(tokens.back() + 1) % vocab] = static_cast<float>(std::log(0.75));
  });
}

TEST(Likelihood, OfKnownLogits) {
  EXPECT_NEAR(NegativeLogLikelihood(std::vector<float>{0, 0, 0, 0}, 2), std::log(4.0), 1e-12);
  EXPECT_NEAR(NegativeLogLikelihood(std::vector<float>{1000, 0}, 0), 0.0, 1e-12);
  EXPECT_NEAR(NegativeLogLikelihood(std::vector<float>{1000, 0}, 1), 1000.0, 1e-9);
}

TEST(Perplexity, OfUniformLogitsIsTheVocabulary) {
  FakeSequence model = Uniform(50);
  const std::vector<TokenDocument> documents{Noise(1000, 50), Noise(333, 50, 1)};
  for (const auto method :
       {PerplexityMethod::kSliding, PerplexityMethod::kSameTokens, PerplexityMethod::kHalves}) {
    for (const bool bos : {true, false}) {
      const auto results = MeasurePerplexity(model, documents, bos ? std::optional(kBos) : std::nullopt,
                                             {.contexts = {64, 128}, .stride = 16, .method = method});
      ASSERT_EQ(results.size(), 2);
      for (const PerplexityResult& r : results) {
        EXPECT_NEAR(r.perplexity, 50, 1e-9);
        EXPECT_NEAR(r.window_perplexity, 50, 1e-9);
        EXPECT_NEAR(r.standard_error, 0, 1e-4);
        EXPECT_EQ(r.documents, 2);
      }
    }
  }
}

TEST(Perplexity, SlidingCountsEachTokenOnce) {
  FakeSequence model = Uniform(50);
  const std::vector<TokenDocument> documents{Noise(1000, 50), Noise(3, 50, 1)};
  EXPECT_EQ(MeasurePerplexity(model, documents, kBos, {.contexts = {64}, .stride = 16})[0].tokens, 1003);
  EXPECT_EQ(MeasurePerplexity(model, documents, {}, {.contexts = {64}, .stride = 16})[0].tokens, 1001);
}

TEST(Perplexity, OfABigramByHand) {
  FakeSequence model = Bigram(10);
  // Transitions: B->1 hit, 1->2 hit, 2->5 miss, 5->6 hit.
  const std::vector<TokenDocument> documents{{1, 2, 5, 6}};
  const auto r = MeasurePerplexity(model, documents, kBos, {.contexts = {5}, .stride = 4})[0];
  const double hit = -std::log(0.75), miss = -std::log(0.25 / 9);
  EXPECT_NEAR(r.nll, 3 * hit + miss, 1e-5);
  EXPECT_NEAR(r.perplexity, std::exp((3 * hit + miss) / 4), 1e-5);
  const double variance = (3 * hit * hit + miss * miss) / 4 - std::pow((3 * hit + miss) / 4, 2);
  EXPECT_NEAR(r.standard_error, r.perplexity * std::sqrt(variance / 3), 1e-4);
  EXPECT_EQ(r.windows, 1);
}

TEST(Perplexity, BothAveragesDifferAsTheyShould) {
  FakeSequence model = Bigram(10);
  // A window of 5 tokens holds 4 of the document: the first window scores 1 2 3 4 (all hits), the next one 9
  // alone (a miss).
  const std::vector<TokenDocument> documents{{1, 2, 3, 4, 9}};
  const auto r = MeasurePerplexity(model, documents, kBos, {.contexts = {5}, .stride = 4})[0];
  const double hit = -std::log(0.75), miss = -std::log(0.25 / 9);
  EXPECT_NEAR(r.perplexity, std::exp((4 * hit + miss) / 5), 1e-5);
  EXPECT_NEAR(r.window_perplexity, std::exp((hit + miss) / 2), 1e-5);
}

// A model whose loss does not depend on the context has the same loss at every context only if the targets
// are the same.
TEST(Perplexity, SeveralContextsScoreTheSameTokens) {
  FakeSequence model = Bigram(50);
  const std::vector<TokenDocument> documents{Noise(400, 50), Noise(100, 50, 1), Noise(300, 50, 2)};
  const auto results = MeasurePerplexity(model, documents, kBos, {.contexts = {16, 64, 128}, .stride = 8});
  for (const PerplexityResult& r : results) {
    EXPECT_EQ(r.documents, 2);  // the one of 100 tokens does not fill 128
    EXPECT_EQ(r.tokens, results[0].tokens);
    EXPECT_NEAR(r.nll, results[0].nll, 1e-6);  // a bigram looks one token back, whatever the context
  }
  const auto some =
      MeasurePerplexity(model, documents, kBos, {.contexts = {16, 128}, .stride = 8, .max_tokens = 100});
  EXPECT_EQ(some[0].tokens, 100);
  EXPECT_NEAR(some[0].nll, some[1].nll, 1e-6);
  // The same where the longer one is not read.
  const auto alone = MeasurePerplexity(model, documents, kBos,
                                       {.contexts = {16}, .stride = 8, .max_tokens = 100, .as_long_as = 128});
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_EQ(alone[0].tokens, 100);
  EXPECT_EQ(alone[0].nll, some[0].nll);
}

// Without a stride, a context of any length can be measured; with one that does not fit, none is.
TEST(Perplexity, TheDefaultStrideFitsTheShortestContext) {
  const auto stride = [](std::vector<std::int64_t> contexts) {
    PerplexityOptions options{.contexts = std::move(contexts)};
    options.Validate();
    return options.Stride();
  };
  EXPECT_EQ(stride({4}), 2);
  EXPECT_EQ(stride({64}), 32);
  EXPECT_EQ(stride({1024, 256}), 128);
  EXPECT_EQ(stride({512}), 256);
  EXPECT_EQ(stride({65536}), 256);
  FakeSequence model = Uniform(50);
  EXPECT_EQ(MeasurePerplexity(model, std::vector<TokenDocument>{Noise(1000, 50)}, kBos, {.contexts = {64}})[0]
                .tokens,
            1000);
}

TEST(Perplexity, RefusesWhatCannotBe) {
  FakeSequence model = Uniform(5);
  const std::vector<TokenDocument> documents{Noise(100, 5)};
  EXPECT_THROW(MeasurePerplexity(model, documents, kBos, {.contexts = {}}), Error);
  EXPECT_THROW(MeasurePerplexity(model, documents, kBos, {.contexts = {64}, .stride = 64}), Error);
  EXPECT_THROW(MeasurePerplexity(model, documents, kBos, {.contexts = {64, 256}, .stride = 16}), Error);
  for (const auto method : {PerplexityMethod::kSliding, PerplexityMethod::kHalves}) {
    const auto measure = [&](std::int64_t context) {
      return MeasurePerplexity(model, documents, kBos,
                               {.contexts = {context}, .stride = 16, .method = method});
    };
    EXPECT_THROW(measure(102), Error);  // 100 tokens and BOS fill 101
    EXPECT_NO_THROW(measure(101));
  }
  EXPECT_THROW(MeasurePerplexity(model, {}, kBos, {.contexts = {64}, .stride = 16}), Error);
}

TEST(Perplexity, StopsWhenCancelled) {
  FakeSequence model = Uniform(5);
  const std::vector<TokenDocument> documents{Noise(100, 5)};
  RequestCancel();
  EXPECT_THROW(MeasurePerplexity(model, documents, kBos, {.contexts = {64}, .stride = 16}), Error);
  ClearCancel();
}

}  // namespace
}  // namespace longspan
