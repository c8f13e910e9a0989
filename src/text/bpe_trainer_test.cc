#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using testing::ElementsAre;

// The definition, word by word, with nothing kept between merges.
std::vector<std::string> NaiveMerges(std::map<std::string, int> words, int merges) {
  std::vector<std::pair<std::vector<std::string>, int>> split;
  std::map<std::string, int> ids;
  for (int byte = 0; byte < 256; ++byte) ids[std::string(1, static_cast<char>(byte))] = byte;
  for (const auto& [word, count] : words) {
    std::vector<std::string> symbols;
    for (const char c : word) symbols.emplace_back(1, c);
    split.emplace_back(symbols, count);
  }
  std::vector<std::string> out;
  for (int merge = 0; merge < merges; ++merge) {
    std::map<std::pair<int, int>, int> pairs;
    std::map<std::pair<int, int>, std::pair<std::string, std::string>> text;
    for (const auto& [symbols, count] : split) {
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const std::pair key(ids[symbols[i]], ids[symbols[i + 1]]);
        pairs[key] += count;
        text[key] = {symbols[i], symbols[i + 1]};
      }
    }
    const auto best = std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second < b.second : a.first > b.first;
    });
    if (best == pairs.end()) break;
    const auto [left, right] = text[best->first];
    out.push_back(left + ' ' + right);
    ids.emplace(left + right, static_cast<int>(ids.size()));
    for (auto& [symbols, count] : split) {
      std::vector<std::string> next;
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        const bool here = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
        next.push_back(here ? left + right : symbols[i]);
        i += here;
      }
      symbols = next;
    }
  }
  return out;
}

TEST(BpeTrainer, MergesTheMostFrequentPairFirst) {
  const std::vector<std::string> texts = {"hug hug hug hug pug pug bun"};
  const Vocabulary vocabulary = TrainBpe(texts, {.vocab_size = 260});
  EXPECT_THAT(vocabulary.merges, ElementsAre("u g", "h ug"));  // the next, \u0120 hug, would need one more id
  EXPECT_EQ(vocabulary.tokens[256], "ug");
  EXPECT_EQ(vocabulary.tokens[257], "hug");
  EXPECT_EQ(vocabulary.bos, 258);
  EXPECT_EQ(vocabulary.eos, 259);
  EXPECT_EQ(vocabulary.tokens[258], "<|begin_of_text|>");
  EXPECT_EQ(vocabulary.KindOf(259), TokenKind::kControl);
  EXPECT_TRUE(vocabulary.add_bos);
}

TEST(BpeTrainer, AgreesWithTheDefinition) {
  std::string text;
  std::map<std::string, int> words;
  std::uint32_t state = 7;
  for (int i = 0; i < 400; ++i) {
    std::string word = i == 0 ? "" : " ";
    const int length = 1 + i % 11;
    for (int j = 0; j < length; ++j) {
      state = state * 1664525 + 1013904223;
      word += static_cast<char>('a' + (state >> 24) % 3);
    }
    text += word;
    ++words[word];
  }
  const std::vector<std::string> texts = {text};
  Vocabulary vocabulary = TrainBpe(texts, {.vocab_size = 256 + 2 + 150, .min_frequency = 1});
  std::vector<std::string> expected = NaiveMerges(words, static_cast<int>(vocabulary.merges.size()));
  for (std::string& merge : expected) {
    for (std::size_t at = 0; (at = merge.find(' ', at)) != std::string::npos;) {
      // A space that is a symbol's own is written U+0120; the one between symbols stays.
      if (at == 0 || merge[at - 1] == ' ')
        merge.replace(at, 1, "\u0120");
      else
        ++at;
    }
  }
  EXPECT_EQ(vocabulary.merges, expected);
}

TEST(BpeTrainer, DoesNotDependOnTheOrderOfTexts) {
  const std::vector<std::string> forward = {"one two two", "three three three", "\xFF\xFE"};
  const std::vector<std::string> backward = {forward[2], forward[1], forward[0]};
  EXPECT_EQ(TrainBpe(forward, {.vocab_size = 300}).tokens, TrainBpe(backward, {.vocab_size = 300}).tokens);
}

TEST(BpeTrainer, StopsAtRarePairsAndLongTokens) {
  const std::vector<std::string> texts = {"abcd", std::string(100, '-')};
  const Vocabulary vocabulary = TrainBpe(texts, {.vocab_size = 1000, .max_token_bytes = 8});
  EXPECT_THAT(vocabulary.merges, ElementsAre("- -", "-- --", "---- ----"));
}

TEST(BpeTrainer, MakesAVocabularyThatTokenizes) {
  const std::vector<std::string> texts = {
      "the cat and the hat and the bat \u00E4\u00F6\u00FC \u00E4\u00F6\u00FC"};
  const auto tokenizer = Tokenizer::Make(TrainBpe(texts, {.vocab_size = 280}));
  const auto ids = tokenizer->Encode(texts[0]);
  EXPECT_LT(ids.size(), texts[0].size());
  EXPECT_EQ(tokenizer->Decode(ids), texts[0]);
  EXPECT_EQ(tokenizer->Encode("<|end_of_text|>", {.parse_special = true}), std::vector{tokenizer->eos()});
}

TEST(BpeTrainer, RefusesImpossibleSizes) {
  EXPECT_THROW(TrainBpe({}, {.vocab_size = 257}), Error);
  EXPECT_THROW(TrainBpe({}, {.vocab_size = -1}), Error);
  EXPECT_THROW(TrainBpe({}, {.vocab_size = 300, .min_frequency = 0}), Error);
  EXPECT_EQ(TrainBpe({}, {.vocab_size = 300}).tokens.size(), 258u);
}

}  // namespace
}  // namespace longspan
