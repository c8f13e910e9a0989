#include "eval/passkey.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

// A vocabulary for the tests: 0-9 are digits, 10 is a word, 11 marks the key, 12 asks for the key.
constexpr std::int32_t kWord = 10, kMark = 11, kAsk = 12;

std::string Decode(std::span<const std::int32_t> tokens) {
  std::string text;
  for (const std::int32_t t : tokens) text += t < 10 ? std::to_string(t) : " w";
  return text;
}

PasskeyQuestion Make(std::int64_t length, double depth, std::int64_t trial) {
  PasskeyQuestion question;
  question.key = 100 + 37 * trial;
  question.tokens.assign(static_cast<std::size_t>(length), kWord);
  const auto at = static_cast<std::size_t>(depth * static_cast<double>(length - 5));
  question.tokens[at] = kMark;
  const std::string digits = std::to_string(question.key);
  for (std::size_t i = 0; i < 3; ++i) question.tokens[at + 1 + i] = digits[i] - '0';
  question.tokens.back() = kAsk;
  return question;
}

// Answers "w" and the key, digit by digit, then words, if the mark is among the last `reach` tokens of the
// prompt.
FakeSequence Reader(std::int64_t reach) {
  return FakeSequence(13, [reach](std::span<const std::int32_t> tokens, std::span<float> logits) {
    std::ranges::fill(logits, 0.0f);
    const auto ask = std::ranges::find(tokens, kAsk) - tokens.begin();
    const auto mark = std::ranges::find(tokens, kMark) - tokens.begin();
    const auto written = std::ssize(tokens) - 1 - ask;
    std::int32_t next = kWord;
    if (ask - mark <= reach && written >= 1 && written <= 3) next = tokens[mark + written];
    logits[next] = 1.0f;
  });
}

TEST(FirstInteger, OfText) {
  EXPECT_EQ(FirstInteger("The key is 4711. 5"), 4711);
  EXPECT_EQ(FirstInteger("12"), 12);
  EXPECT_EQ(FirstInteger("none"), std::nullopt);
  EXPECT_EQ(FirstInteger(""), std::nullopt);
  EXPECT_EQ(FirstInteger("99999999999999999999999999"), std::nullopt);
}

TEST(Passkey, FindsWhatIsInReach) {
  FakeSequence model = Reader(60);
  const PasskeyResult r =
      MeasurePasskey(model, Make, Decode, {.lengths = {50, 100}, .depths = 3, .trials = 4});
  ASSERT_EQ(r.tallies.size(), 6);
  EXPECT_EQ(r.Accuracy(0), 1.0);
  EXPECT_EQ(r.at(1, 0).accuracy(), 0.0);  // 99 tokens back
  EXPECT_EQ(r.at(1, 1).accuracy(), 1.0);
  EXPECT_EQ(r.at(1, 2).accuracy(), 1.0);
  EXPECT_EQ(r.at(1, 1).depth, 0.5);
  EXPECT_NEAR(r.Accuracy(1), 2.0 / 3, 1e-12);
}

TEST(Passkey, ReadsSharedPrefixesOnce) {
  FakeSequence model = Reader(1000);
  MeasurePasskey(model, Make, Decode, {.lengths = {500}, .depths = 1, .trials = 10});
  EXPECT_LT(model.forwarded(), 500 + 9 * 270);
}

TEST(Passkey, RefusesWhatCannotBe) {
  FakeSequence model = Reader(60);
  EXPECT_THROW(MeasurePasskey(model, Make, Decode, {.lengths = {}}), Error);
  EXPECT_THROW(MeasurePasskey(model, Make, Decode, {.lengths = {50}, .depths = 0}), Error);
}

}  // namespace
}  // namespace longspan
