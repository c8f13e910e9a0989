#include "eval/position_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/random.h"
#include "base/testing/expect_error.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kVocabulary = 8;
constexpr std::int32_t kBos = 0;

// A token is given 1 / 8 while fewer than 16 tokens were read, and 1 / 2 later, whichever it is.
FakeSequence BetterWithText(const TokenDocument& document) {
  return FakeSequence(
      kVocabulary, [&document](std::span<const std::int32_t> tokens, std::span<float> logits) {
        const bool bos = tokens.front() == kBos;
        const std::int32_t target = document[tokens.size() - (bos ? 1 : 0)];
        const bool late = tokens.size() >= 16;
        std::ranges::fill(logits,
                          static_cast<float>(std::log(late ? 0.5 / (kVocabulary - 1) : 1.0 / kVocabulary)));
        logits[target] = static_cast<float>(std::log(late ? 0.5 : 1.0 / kVocabulary));
      });
}

TokenDocument Text(std::int64_t tokens) {
  Random random(11, 0, RandomPurpose::kTest);
  TokenDocument document;
  for (std::int64_t i = 0; i < tokens; ++i)
    document.push_back(1 + static_cast<std::int32_t>(random.Below(kVocabulary - 1)));
  return document;
}

TEST(PositionLoss, CountsWhatStandsBeforeAToken) {
  const std::vector<TokenDocument> documents{Text(64)};
  for (const bool bos : {true, false}) {
    FakeSequence model = BetterWithText(documents[0]);
    const auto result = MeasurePositionLoss(model, documents, bos ? std::optional(kBos) : std::nullopt,
                                            {.bounds = {16, 32, 64}});
    ASSERT_EQ(result.buckets.size(), 3u);
    EXPECT_EQ(result.documents, 1);
    // The first token of the text is predicted only where there is a BOS before it. So no target has 0 tokens
    // before it, and the first bucket has 15.
    EXPECT_EQ(result.buckets[0].tokens, 15);
    EXPECT_EQ(result.buckets[1].tokens, 16);
    EXPECT_EQ(result.buckets[2].tokens, 32);
    EXPECT_NEAR(result.buckets[0].perplexity, 8, 1e-5);
    EXPECT_NEAR(result.buckets[1].perplexity, 2, 1e-5);
    EXPECT_NEAR(result.buckets[2].perplexity, 2, 1e-5);
    // One pass: each token is read once.
    EXPECT_EQ(model.forwarded(), 63);
  }
}

TEST(PositionLoss, ReadsOnlyDocumentsThatFillTheContext) {
  const TokenDocument text = Text(64);
  const std::vector<TokenDocument> documents{Text(40), text, Text(63), text, text};
  FakeSequence model = BetterWithText(text);
  EXPECT_EQ(MeasurePositionLoss(model, documents, std::nullopt, {.bounds = {64}}).documents, 3);
  EXPECT_EQ(MeasurePositionLoss(model, documents, kBos, {.bounds = {64}}).documents, 4);
  EXPECT_EQ(MeasurePositionLoss(model, documents, std::nullopt, {.bounds = {64}, .documents = 2}).documents,
            2);
  EXPECT_THAT(ErrorOf([&] { MeasurePositionLoss(model, documents, std::nullopt, {.bounds = {65}}); }),
              HasSubstr("the longest of 5 has 64 tokens"));
}

TEST(PositionLoss, RefusesBoundsThatDoNotRise) {
  FakeSequence model = BetterWithText({});
  const std::vector<std::vector<std::int64_t>> wrong{{}, {1}, {0, 4}, {8, 8}, {8, 4}, {-4}};
  for (const auto& bounds : wrong)
    EXPECT_THROW(MeasurePositionLoss(model, {}, std::nullopt, {.bounds = bounds}), Error);
}

TEST(PositionLoss, RefusesLogitsThatAreNotNumbers) {
  const std::vector<TokenDocument> documents{Text(64)};
  FakeSequence model(kVocabulary, [](auto tokens, std::span<float> logits) {
    std::ranges::fill(logits, tokens.size() == 40 ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
  });
  EXPECT_THAT(ErrorOf([&] { MeasurePositionLoss(model, documents, kBos, {.bounds = {64}}); }),
              HasSubstr("are not numbers"));
}

// A window that takes an hour must not look like a hang.
TEST(PositionLoss, ProgressMovesInsideAWindow) {
  class Counting : public Progress {
   public:
    void Start(std::string_view, std::int64_t total, std::string_view) override { total_ = total; }
    void Update(std::int64_t done, std::string_view) override {
      EXPECT_GT(done, done_);
      done_ = done;
      ++updates_;
    }
    std::int64_t total_ = 0, done_ = 0, updates_ = 0;
  } progress;
  const std::vector<TokenDocument> documents{Text(4096)};
  FakeSequence model = BetterWithText(documents[0]);
  MeasurePositionLoss(model, documents, std::nullopt, {.bounds = {4096}}, progress);
  EXPECT_EQ(progress.updates_, 8);
  EXPECT_EQ(progress.total_, 4095);
  EXPECT_EQ(progress.done_, 4095);
}

TEST(DoublingBounds, EndWithTheContext) {
  EXPECT_THAT(DoublingBounds(256, 2048), ElementsAre(256, 512, 1024, 2048));
  EXPECT_THAT(DoublingBounds(256, 1000), ElementsAre(256, 512, 1000));
  EXPECT_THAT(DoublingBounds(256, 100), ElementsAre(100));
}

}  // namespace
}  // namespace longspan
