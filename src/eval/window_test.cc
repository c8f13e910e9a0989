#include "eval/window.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "eval/window_reader.h"
#include "infer/testing/fake_sequence.h"

namespace longspan {
namespace {

// How often each token of a document is scored.
std::vector<int> TimesScored(const std::vector<Window>& windows, std::int64_t tokens) {
  std::vector<int> times(static_cast<std::size_t>(tokens));
  for (const Window& w : windows) {
    for (std::int64_t t = w.first_scored; t < w.end; ++t) ++times[t];
  }
  return times;
}

TEST(SlidingWindows, ScoreEachTokenOnce) {
  for (const std::int64_t tokens : {1, 2, 5, 8, 9, 10, 37, 100}) {
    for (const std::int64_t stride : {1, 3, 7}) {
      for (const bool bos : {false, true}) {
        const auto windows = SlidingWindows(tokens, 8, stride, bos);
        auto times = TimesScored(windows, tokens);
        if (!bos) {
          EXPECT_EQ(std::exchange(times[0], 1), 0);  // nothing predicts it
        }
        EXPECT_THAT(times, testing::Each(1)) << tokens << " tokens, stride " << stride;
        for (std::size_t i = 0; i < windows.size(); ++i) {
          const Window& w = windows[i];
          EXPECT_GE(w.begin, 0);
          EXPECT_LE(w.end, tokens);
          EXPECT_LE(w.end - w.begin + (bos ? 1 : 0), 8);
          if (i > 0) {
            EXPECT_LE(w.scored(), stride);
            EXPECT_GE(w.first_scored - w.begin + (bos ? 1 : 0), 8 - stride);
          }
        }
      }
    }
  }
}

TEST(SlidingWindows, ByHand) {
  EXPECT_THAT(SlidingWindows(10, 5, 3, true),
              testing::ElementsAre(Window{0, 0, 0, 4}, Window{0, 3, 4, 7}, Window{0, 6, 7, 10}));
  EXPECT_THAT(SlidingWindows(6, 5, 3, false), testing::ElementsAre(Window{0, 0, 1, 5}, Window{0, 1, 5, 6}));
  EXPECT_TRUE(SlidingWindows(0, 5, 3, true).empty());
  EXPECT_TRUE(SlidingWindows(1, 5, 3, false).empty());
}

TEST(SameTokenWindows, TargetsAgreeAtEveryContext) {
  constexpr std::int64_t kTokens = 100, kLongest = 32, kStride = 5;
  for (const bool bos : {false, true}) {
    const auto longest = SameTokenWindows(kTokens, kLongest, kLongest, kStride, bos);
    const auto expected = TimesScored(longest, kTokens);
    EXPECT_EQ(std::accumulate(expected.begin(), expected.end(), 0), kTokens - (kLongest - bos - kStride));
    for (const std::int64_t context : {8, 16, 32}) {
      const auto windows = SameTokenWindows(kTokens, context, kLongest, kStride, bos);
      EXPECT_EQ(TimesScored(windows, kTokens), expected);
      for (const Window& w : windows) {
        EXPECT_EQ(w.end - w.begin + (bos ? 1 : 0), context);
        EXPECT_GE(w.first_scored - w.begin + (bos ? 1 : 0), context - kStride);
      }
    }
  }
}

TEST(SameTokenWindows, NeedTheLongestContext) {
  EXPECT_TRUE(SameTokenWindows(30, 8, 32, 5, true).empty());
  EXPECT_EQ(SameTokenWindows(31, 8, 32, 5, true).size(), 1);
}

TEST(HalfWindows, ScoreTheSecondHalf) {
  // With a BOS, the stream is B 0 1 2 3 4 5 6 7 8 ...; its window [8, 16) is B 8 9 ... 14, because token 7
  // gives way.
  EXPECT_THAT(HalfWindows(17, 8, true), testing::ElementsAre(Window{0, 0, 4, 7}, Window{0, 8, 12, 15}));
  EXPECT_THAT(HalfWindows(17, 8, false), testing::ElementsAre(Window{0, 0, 5, 8}, Window{0, 8, 13, 16}));
  // At 512 it scores 255 tokens a window.
  EXPECT_EQ(HalfWindows(511, 512, true).front().scored(), 255);
}

TEST(InTurn, HearsEveryDocumentAndStopsAtTheLimit) {
  const std::vector<std::vector<Window>> documents{SlidingWindows(10, 5, 3, true),
                                                   SlidingWindows(6, 5, 3, true)};
  const auto all = InTurn(documents, 0);
  ASSERT_EQ(all.size(), 5);
  std::vector<std::int64_t> order;
  for (const Window& w : all) order.push_back(w.document);
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 0, 1, 0));
  const auto some = InTurn(documents, 10);
  ASSERT_EQ(some.size(), 3);
  EXPECT_EQ(some.back(), (Window{0, 3, 4, 6}));
  std::int64_t scored = 0;
  for (const Window& w : some) scored += w.scored();
  EXPECT_EQ(scored, 10);
  EXPECT_EQ(InTurn(documents, 4).size(), 1);
}

// The reader hands each target the logits that follow exactly its own context.
TEST(WindowReader, RowsSeeTheirContext) {
  TokenDocument document(2000);
  std::iota(document.begin(), document.end(), 1);
  // Logit 0: tokens read; 1: the first of them; 2: the last of them.
  FakeSequence model(3, [](std::span<const std::int32_t> tokens, std::span<float> logits) {
    logits[0] = static_cast<float>(tokens.size());
    logits[1] = static_cast<float>(tokens.front());
    logits[2] = static_cast<float>(tokens.back());
  });
  for (const bool bos : {true, false}) {
    WindowReader reader(model, bos ? std::optional<std::int32_t>(0) : std::nullopt);
    const Window window{.begin = 100, .first_scored = 700, .end = 1300};
    reader.Open(document, window);
    std::int64_t target = 700;
    while (reader.Next()) {
      ASSERT_LE(reader.logits().rows, WindowReader::kRows);
      ASSERT_EQ(std::ssize(reader.targets()), reader.logits().rows);
      for (std::int64_t i = 0; i < reader.logits().rows; ++i, ++target) {
        ASSERT_EQ(reader.targets()[i], document[target]);
        EXPECT_EQ(reader.logits().at(i, 0), static_cast<float>(target - 100 + (bos ? 1 : 0)));
        EXPECT_EQ(reader.logits().at(i, 1), static_cast<float>(bos ? 0 : document[100]));
        EXPECT_EQ(reader.logits().at(i, 2), static_cast<float>(document[target - 1]));
      }
    }
    EXPECT_EQ(target, 1300);
    EXPECT_EQ(reader.tokens_read(), bos ? 1200 : 1199);
  }
}

}  // namespace
}  // namespace longspan
