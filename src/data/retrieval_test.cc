#include "data/retrieval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "data/test_support.h"

namespace longspan {
namespace {

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
  EXPECT_TRUE(std::regex_search(
      scored, std::regex("_ The pass key is______?\\. Remember it\\. \\d+ is the pass key\\._")))
      << scored;
  EXPECT_TRUE(std::regex_search(scored, std::regex("_ What is the pass key\\? The pass key is \\d+\\.$")))
      << scored;
  EXPECT_THAT(scored, testing::Not(testing::HasSubstr("grass")));
}

TEST(Retrieval, AsksForWhatItHid) {
  const Retrieval retrieval(ByteEncoder());
  std::string book;
  while (book.size() < 5000) book += "Some words of a book. ";
  const std::regex question(
      " What is the ([a-z ]+ of the [a-z]+)\\? The ([a-z ]+ of the [a-z]+) is (\\d+)\\.");
  std::size_t pairs = 0;
  for (std::uint64_t step = 0; step < 60; ++step) {
    Random random = At(step);
    const ScoredText row = retrieval.HiddenSentences(
        1024,
        [&](std::int64_t n) { return ByteEncoder().encode(book.substr(0, static_cast<std::size_t>(n))); },
        random);
    EXPECT_EQ(row.tokens.size(), 1024u);
    const std::string text = ByteText(row.tokens);
    std::string rest = text;
    std::size_t unscored = 0, expected = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), question), end; it != end; ++it, ++pairs) {
      const std::string line = fmt::format(" The {} is {}.", (*it)[1].str(), (*it)[3].str());
      const std::size_t hidden = text.find(line);
      ASSERT_NE(hidden, std::string::npos);
      EXPECT_LT(hidden, static_cast<std::size_t>(it->position())) << "the sentence comes before its question";
      EXPECT_EQ((*it)[1].str(), (*it)[2].str());
      expected += (*it)[3].length() + 1;  // the number and the space before it
    }
    for (std::size_t i = 1; i < row.scored.size(); ++i) unscored += row.scored[i] == 0;
    EXPECT_EQ(unscored, expected);
  }
  EXPECT_GT(pairs, 120u);
}

TEST(Retrieval, LeavesTheTextAsItWas) {
  const Retrieval retrieval(ByteEncoder());
  const std::string book(3000, 'x');
  Random random = At(1);
  const ScoredText row = retrieval.HiddenSentences(
      700, [&](std::int64_t n) { return ByteEncoder().encode(book.substr(0, static_cast<std::size_t>(n))); },
      random);
  const std::string text =
      std::regex_replace(ByteText(row.tokens),
                         std::regex("( What is the [a-z ]+\\?)? The [a-z ]+ of the [a-z]+ is \\d+\\."), "");
  EXPECT_EQ(text.find_first_not_of('x'), std::string::npos) << text;
}

TEST(Retrieval, BearsTextsThatAreShortOrAbsent) {
  const Retrieval retrieval(ByteEncoder());
  for (std::uint64_t step = 0; step < 50; ++step) {
    for (const std::size_t length : {0u, 1u, 30u}) {
      Random random = At(step);
      const ScoredText row = retrieval.HiddenSentences(
          retrieval.MinLength(), [&](std::int64_t) { return ByteEncoder().encode(std::string(length, 'y')); },
          random);
      EXPECT_LE(row.tokens.size(), static_cast<std::size_t>(retrieval.MinLength()) + length);
    }
  }
}

}  // namespace
}  // namespace longspan
