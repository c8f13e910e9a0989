// The splitters written by hand beside the regular expressions that they stand for.
#include "text/word_splitter.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "text/character_class.h"
#include "text/character_table.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace longspan {
namespace {

std::vector<std::size_t> Ends(const PreTokenizer& pre_tokenizer, std::string_view text) {
  std::vector<std::size_t> ends;
  pre_tokenizer.Split(text, [&](const WordBatch& batch) {
    EXPECT_EQ(batch.begin, ends.empty() ? 0 : ends.back());
    ends.insert(ends.end(), batch.ends.begin(), batch.ends.end());
  });
  return ends;
}

TEST(CharacterTable, KnowsEveryCharacter) {
  const Regex letter(R"(\p{L})"), number(R"(\p{N})"), space(R"(\s)");
  const CharacterTable& table = CharacterTable::Get();
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text.clear();
    AppendUtf8(c, text);
    const auto [type, length] = table.At(text.data());
    EXPECT_EQ(length, text.size());
    const CharacterClass expected = letter.Find(text, 0)   ? CharacterClass::kLetter
                                    : number.Find(text, 0) ? CharacterClass::kNumber
                                    : space.Find(text, 0)  ? CharacterClass::kSpace
                                                           : CharacterClass::kOther;
    ASSERT_EQ(type, expected) << static_cast<std::uint32_t>(c);
    ASSERT_EQ(expected == CharacterClass::kSpace, IsWhiteSpace(c));
  }
}

class WordSplitter : public testing::TestWithParam<const char*> {
 protected:
  WordSplitter() : by_hand_(FindPreTokenizerRule(GetParam())), by_regex_(WithoutSplitter()) {}

  void ExpectTheSame(const std::string& text) const {
    const auto ends = Ends(by_hand_, text), expected = Ends(by_regex_, text);
    if (ends == expected) return;
    std::string escaped;
    for (const char c : text) escaped += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    ADD_FAILURE() << escaped << "\n" << testing::PrintToString(ends) << testing::PrintToString(expected);
  }

 private:
  static PreTokenizerRule WithoutSplitter() {
    PreTokenizerRule rule = FindPreTokenizerRule(GetParam());
    EXPECT_NE(rule.split_words, nullptr);
    rule.split_words = nullptr;
    return rule;
  }
  const PreTokenizer by_hand_, by_regex_;
};

// Every string of up to five parts that make a difference to some expression.
TEST_P(WordSplitter, CutsShortTextsAsTheRegex) {
  const std::vector<std::string> parts = {"a", "'", " ", "\n",     "\r",     "\t",     "1",   "!",
                                          "s", "L", "l", "\u00A0", "\u0301", "\u4F60", "\xC3"};
  std::vector<std::string> texts = {""};
  for (int length = 1; length <= 5; ++length) {
    std::vector<std::string> longer;
    for (const std::string& text : texts) {
      for (const std::string& part : parts) {
        longer.push_back(text + part);
        ExpectTheSame(longer.back());
        if (HasFailure()) return;
      }
    }
    texts = std::move(longer);
  }
}

// Runs of characters of all classes, of lengths around those of vectors and batches.
TEST_P(WordSplitter, CutsRandomTextsAsTheRegex) {
  std::mt19937 random(7);
  const std::vector<std::string> phrases = {"'s",  "'S",   "'T",   "'re",       "'Re",     "'vE",    "'ll",
                                            "'LL", "'lL",  "'m",   "'D",        "'\u017F", "\u017F", "'l",
                                            "'r ", "\r\n", "\n",   "\n\n\n \n", "\u2028",  "\u3000", " ",
                                            "  ",  "\t",   "\x85", "\u0085",    "\u180E"};
  const auto any_character = [&](std::string& text) {
    char32_t c = random() % (random() % 2 == 0 ? 0x3000 : random() % 4 == 0 ? 0x110000 : 0x20000);
    if (c >= 0xD800 && c < 0xE000) c = 'x';
    AppendUtf8(c, text);
  };
  for (int round = 0; round < 100000 && !HasFailure(); ++round) {
    std::string text;
    for (std::size_t parts = 1 + random() % 12; parts > 0; --parts) {
      switch (random() % 8) {
        case 0: text += phrases[random() % phrases.size()]; break;
        case 1: text.append(random() % 20, static_cast<char>(random() % 128)); break;
        case 2: text += static_cast<char>(random() % 256); break;
        case 3:
          text += std::string(1, ' ').append(1 + random() % 18, static_cast<char>('A' + random() % 26));
          break;
        case 4: text.append(random() % 9, static_cast<char>('0' + random() % 10)); break;
        case 5:
          for (std::size_t i = random() % 10; i > 0; --i) text += "\t\n\v\f\r   "[random() % 8];
          break;
        default:
          for (std::size_t i = random() % 6; i > 0; --i) any_character(text);
      }
    }
    ExpectTheSame(text);
  }
}

TEST_P(WordSplitter, CutsLongRunsAsTheRegex) {
  for (const std::string unit : {"a", "\u0418", " ", "\n", " \n", "7", "-", "'", "\u00A0", "a ", "\xFF"}) {
    std::string text;
    while (text.size() < 3000) text += unit;
    for (const char* last : {"", "a", " a", "1", "!", "\n", "'s"}) ExpectTheSame(text + last);
  }
}

TEST_P(WordSplitter, CutsARealTextAsTheRegex) {
  const auto path = SharedData("text/wiki.test.raw");
  if (!path) GTEST_SKIP() << "shared data is absent: text/wiki.test.raw";
  ExpectTheSame(ReadFile(*path));
}

INSTANTIATE_TEST_SUITE_P(Rules, WordSplitter, testing::Values("llama-bpe", "gpt-2", "qwen2", "smollm"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace longspan
