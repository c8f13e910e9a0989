#include "data/retrieval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

Random At(std::uint64_t step) { return Random(5, step, RandomPurpose::kPasskey); }

std::string Scored(const ScoredText& text) {
  std::string scored;
  for (std::size_t i = 0; i < text.tokens.size(); ++i) {
    if (text.tokens[i] < 256) scored += text.scored[i] ? static_cast<char>(text.tokens[i]) : '_';
  }
  return scored;
}

TEST(Retrieval, ScoresThePasskeyButNotItsFirstMention) {
  const Retrieval retrieval(ByteEncoder());
  Random random = At(0);
  const ScoredText text = retrieval.PasskeyText(800, random);
  ASSERT_EQ(text.tokens.size(), text.scored.size());
  EXPECT_LE(text.tokens.size(), 800u);
  EXPECT_GT(text.tokens.size(), 790u);
  const std::string scored = Scored(text);
  EXPECT_THAT(scored, ContainsRegex("_ The pass key is_+\\. Remember it\\. [0-9]+ is the pass key\\._"));
  EXPECT_THAT(scored, ContainsRegex("_ What is the pass key\\? The pass key is [0-9]+\\.$"));
  EXPECT_THAT(scored, Not(HasSubstr("grass")));
}

// The first `n` tokens of a text.
Retrieval::TextFn Book(const std::string& text) {
  return [text](std::int64_t n) { return ByteEncoder().encode(text.substr(0, static_cast<std::size_t>(n))); };
}

TEST(Retrieval, AsksForWhatItHid) {
  const Retrieval retrieval(ByteEncoder());
  std::string book;
  while (book.size() < 5000) book += "Some words of a book. ";
  const std::string question = " What is the ";
  std::size_t pairs = 0;
  for (std::uint64_t step = 0; step < 60; ++step) {
    Random random = At(step);
    const ScoredText row = retrieval.HiddenSentences(1024, Book(book), random);
    EXPECT_EQ(row.tokens.size(), 1024u);
    const std::string text = ByteText(row.tokens);
    std::int64_t expected = 0;
    for (std::size_t at = text.find(question); at != text.npos; at = text.find(question, at + 1), ++pairs) {
      const std::size_t begin = at + question.size(), end = text.find('?', begin);
      const std::string what = text.substr(begin, end - begin), answer = fmt::format(" The {} is ", what);
      ASSERT_EQ(text.compare(end + 1, answer.size(), answer), 0) << text;
      const std::size_t number = end + 1 + answer.size(), stop = text.find('.', number);
      const std::size_t hidden = text.find(answer + text.substr(number, stop + 1 - number));
      EXPECT_LT(hidden, at) << "the sentence comes before its question";
      expected += static_cast<std::int64_t>(stop - number) + 1;  // the number and the space before it
    }
    EXPECT_EQ(std::count(row.scored.begin() + 1, row.scored.end(), 0), expected);
  }
  EXPECT_GT(pairs, 120u);
}

TEST(Retrieval, LeavesTheTextAsItWas) {
  const Retrieval retrieval(ByteEncoder());
  std::string book;
  while (book.size() < 3000) book += "JKLMNOPQRS";  // capitals that no sentence has
  Random random = At(1);
  const ScoredText row = retrieval.HiddenSentences(700, Book(book), random);
  std::string text;
  for (const char c : ByteText(row.tokens)) {
    if (c >= 'J' && c <= 'S') text += c;
  }
  EXPECT_EQ(text, book.substr(0, text.size()));
  EXPECT_GT(text.size(), 100u);
}

TEST(Retrieval, BearsTextsThatAreShortOrAbsent) {
  const Retrieval retrieval(ByteEncoder());
  for (std::uint64_t step = 0; step < 50; ++step) {
    for (const std::size_t length : {0u, 1u, 30u}) {
      Random random = At(step);
      const ScoredText row =
          retrieval.HiddenSentences(retrieval.MinLength(), Book(std::string(length, 'y')), random);
      EXPECT_LE(row.tokens.size(), static_cast<std::size_t>(retrieval.MinLength()) + length);
    }
  }
}

// A scored token is text, or a copy of an earlier token. A first appearance is never scored.
TEST(Retrieval, AnEchoScoresOnlyTextAndWhatComesAgain) {
  const Retrieval retrieval(ByteEncoder());
  const std::int32_t letter = 1'000;  // beyond the vocabulary: no run holds it
  const auto book = [&](std::int64_t n) {
    return std::vector<std::int32_t>(static_cast<std::size_t>(n), letter);
  };
  for (std::uint64_t step = 0; step < 20; ++step) {
    Random random = At(step);
    const ScoredText row = retrieval.Echo(512, book, random);
    ASSERT_EQ(row.tokens.size(), row.scored.size());
    EXPECT_LE(row.tokens.size(), 512u);
    EXPECT_GT(row.tokens.size(), 500u);
    std::size_t copies = 0;
    for (std::size_t i = 1; i < row.tokens.size(); ++i) {
      if (!row.scored[i] || row.tokens[i] == letter) continue;
      ++copies;
      // The token and the one before it occur as a pair earlier in the row.
      const auto pair = row.tokens.begin() + static_cast<std::ptrdiff_t>(i) - 1;
      EXPECT_NE(std::search(row.tokens.begin(), pair, pair, pair + 2), pair)
          << "step " << step << " token " << i;
    }
    EXPECT_GT(copies, 5u);
  }
}

TEST(Retrieval, EchoesAreOfEveryScale) {
  const Retrieval retrieval(ByteEncoder());
  std::int64_t is_short = 0, is_long = 0;
  for (std::uint64_t step = 0; step < 400; ++step) {
    Random random = At(step);
    const std::int64_t length = retrieval.DrawEchoLength(512, random);
    EXPECT_LE(length, 512);
    is_short += length < 64;
    is_long += length >= 256;
  }
  EXPECT_GT(is_short, 80);
  EXPECT_GT(is_long, 60);
  Random random = At(0);
  EXPECT_EQ(retrieval.DrawEchoLength(10, random), 10);
}

}  // namespace
}  // namespace longspan
