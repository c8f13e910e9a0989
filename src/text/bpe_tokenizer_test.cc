#include "text/bpe_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "base/machine.h"
#include "base/parallel.h"
#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

using testing::ElementsAre;

std::vector<std::string> Words(std::string_view text, std::string_view name = "llama-bpe") {
  std::vector<std::string> words;
  PreTokenizer(name).ForEachWord(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TEST(PreTokenizer, CutsAsLlama3) {
  EXPECT_THAT(Words("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(Words("I'LL it's"), ElementsAre("I", "'LL", " it", "'s"));
  EXPECT_THAT(Words("1234567"), ElementsAre("123", "456", "7"));
  EXPECT_THAT(Words("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(Words("a \n\n b"), ElementsAre("a", " \n\n", " b"));
  EXPECT_THAT(Words("end...\n(x)"), ElementsAre("end", "...\n", "(x", ")"));
  EXPECT_THAT(Words("\u00A0\u00A0x"), ElementsAre("\u00A0", "\u00A0x"));  // \s knows Unicode's spaces
  EXPECT_THAT(Words("a \u180Eb"), ElementsAre("a", " \u180E", "b"));      // because it is not a space
  EXPECT_THAT(Words("\u0418\u0432\u0430\u043D"), ElementsAre("\u0418\u0432\u0430\u043D"));
}

TEST(PreTokenizer, CutsAsOthers) {
  EXPECT_THAT(Words("I'LL go 12", "qwen2"), ElementsAre("I", "'LL", " go", " ", "1", "2"));
  EXPECT_THAT(Words("it's 123  a", "gpt-2"), ElementsAre("it", "'s", " 123", " ", " a"));
  // Digits are cut out first, so the spaces before one end their piece.
  EXPECT_THAT(Words("it's  12", "smollm"), ElementsAre("it", "'s", "  ", "1", "2"));
  EXPECT_THAT(Words("fooBar's A/\n12", "tekken"), ElementsAre("foo", "Bar", "'s", " A", "/\n", "1", "2"));
  EXPECT_THAT(Words("a,b 12345 x", "default"), ElementsAre("a", ",", "b", " ", "123", "45", " x"));
  EXPECT_THAT(Words("a,b 12345 x", ""), ElementsAre("a", ",", "b", " ", "123", "45", " x"));
}

TEST(PreTokenizer, KeepsBytesThatAreNotUtf8) {
  EXPECT_THAT(Words("ab\xFF\xFE cd\xE2\x82"), ElementsAre("ab", "\xFF\xFE", " cd", "\xE2\x82"));
}

TEST(PreTokenizer, RefusesUnknownNames) { EXPECT_THROW(PreTokenizer("nobody"), Error); }

TEST(BpeTokenizer, MergesByRankThenFromTheLeft) {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.pre = "gpt-2";
  const auto bc = AddMerge(vocabulary, "b", "c");
  const auto ab = AddMerge(vocabulary, "a", "b");
  const auto aa = AddMerge(vocabulary, "a", "a");
  const BpeTokenizer tokenizer(vocabulary);
  EXPECT_THAT(tokenizer.Encode("abc"), ElementsAre('a', bc));
  EXPECT_THAT(tokenizer.Encode("abab"), ElementsAre(ab, ab));
  EXPECT_THAT(tokenizer.Encode("aaaaa"), ElementsAre(aa, aa, 'a'));
}

// The definition: looks at all pairs, joins the best, and begins again.
std::vector<std::int32_t> MergedSlowly(const Vocabulary& vocabulary, std::string_view word) {
  std::vector<std::string> symbols;
  for (const char c : word) symbols.emplace_back(1, c);
  for (const std::string& merge : vocabulary.merges) {
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i] + ' ' + symbols[i + 1] != merge) continue;
      symbols[i] += symbols[i + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
  }
  std::vector<std::int32_t> ids;
  for (const std::string& symbol : symbols) {
    const auto token = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), symbol);
    ids.push_back(static_cast<std::int32_t>(token - vocabulary.tokens.begin()));
  }
  return ids;
}

TEST(BpeTokenizer, MergesWordsOfAnyLengthAsTheDefinition) {
  std::mt19937 random(2);
  for (int round = 0; round < 30; ++round) {
    // Each merge is of tokens that are there already, as trainers make them.
    Vocabulary vocabulary = ByteVocabulary();
    vocabulary.pre = "gpt-2";
    std::vector<std::string> parts = {"a", "b", "c"};
    while (parts.size() < 30) {
      const std::string left = parts[random() % parts.size()], right = parts[random() % parts.size()];
      if (std::find(parts.begin(), parts.end(), left + right) != parts.end()) continue;
      AddMerge(vocabulary, left, right);
      parts.push_back(left + right);
    }
    const BpeTokenizer tokenizer(vocabulary);
    for (std::size_t length = 1; length < 260; length += 1 + length / 20) {
      std::string word(length, 'a');
      for (char& c : word) c = static_cast<char>('a' + random() % 3);
      const auto expected = MergedSlowly(vocabulary, word);
      EXPECT_EQ(tokenizer.Encode(word), expected) << word;
      EXPECT_EQ(tokenizer.Encode(word), expected) << "remembered: " << word;
    }
  }
}

TEST(BpeTokenizer, RemembersWordsApart) {
  // Words that differ in the last byte, in length, or in bytes of zero, at the end of a text and within it.
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.pre = "gpt-2";
  const BpeTokenizer tokenizer(vocabulary);
  for (int turn = 0; turn < 2; ++turn) {
    for (std::size_t length = 1; length < 40; ++length) {
      for (const char last : {'a', 'b', '\0'}) {
        for (const char* after : {"", " some text that follows, longer than what is remembered"}) {
          const std::string text = std::string(length - 1, last == '\0' ? '\1' : 'a') + last + after;
          EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
        }
      }
    }
  }
}

TEST(BpeTokenizer, EncodesALongTextInParts) {
  std::mt19937 random(4);
  for (const char* pre : {"llama-bpe", "gpt-2", "smollm", "tekken", "default"}) {
    Vocabulary vocabulary = ByteVocabulary();
    vocabulary.pre = pre;
    // Merges across what a wrong cut would part.
    for (const char* second : {" ", "\u0120", "a", "\u010A"}) {
      for (const char* first : {"\u0120", "\u010A"}) {
        if (std::string_view(second) != " ") AddMerge(vocabulary, first, second);
      }
    }
    const BpeTokenizer tokenizer(vocabulary);
    const std::vector<std::string> parts = {"a", " ", "\n", "\u0418", "1", "'s", ".", "\xFF", "\u4F60"};
    std::string text;
    while (text.size() < 1'500'000) text += parts[random() % parts.size()];
    const auto ids = tokenizer.Encode(text);
    EXPECT_EQ(tokenizer.Decode(ids), text);
    // Short texts are not cut.
    std::vector<std::int32_t> expected;
    PreTokenizer(pre).ForEachWord(text, [&](std::string_view word) {
      const auto word_ids = tokenizer.Encode(word);
      expected.insert(expected.end(), word_ids.begin(), word_ids.end());
    });
    EXPECT_TRUE(ids == expected) << pre;
  }
}

TEST(BpeTokenizer, LeavesOutBytesBeforeMerging) {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.pre = "gpt-2";
  vocabulary.tokens[4] = "<none>";
  const auto marks = AddMerge(vocabulary, "!", "!");
  const BpeTokenizer tokenizer(vocabulary);
  EXPECT_THAT(tokenizer.Encode("!\4!"), ElementsAre(marks));  // llama.cpp gives two tokens
  EXPECT_THAT(tokenizer.Encode("\4"), ElementsAre());
  EXPECT_EQ(tokenizer.bytes_left_out(), 2);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("a\4b")), "ab");
}

TEST(BpeTokenizer, ALongWordTakesItsTimeAndLittleMemory) {
  // Eight megabytes without a space; a queue of all its pairs took 52 bytes for each.
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.pre = "gpt-2";
  const auto ab = AddMerge(vocabulary, "a", "b");
  const auto abab = AddMerge(vocabulary, "ab", "ab");
  const BpeTokenizer tokenizer(vocabulary);
  std::string word;
  for (int i = 0; i < 4'000'001; ++i) word += "ab";
  const auto before = static_cast<std::int64_t>(PeakMemoryBytes());
  const auto ids = tokenizer.Encode(word);
  // With a share for the ids.
  EXPECT_LT(static_cast<std::int64_t>(PeakMemoryBytes()) - before, 20 * std::ssize(word));
  EXPECT_EQ(ids.size(), 2'000'001u);
  EXPECT_EQ(ids.front(), abab);
  EXPECT_EQ(ids.back(), ab);
}

TEST(BpeTokenizer, TakesWholeWordsForLlama3) {
  Vocabulary vocabulary = ByteVocabulary();
  const auto word = AddToken(vocabulary, "xyz");  // no merge leads there
  EXPECT_THAT(BpeTokenizer(vocabulary).Encode("xyz"), ElementsAre(word));
  vocabulary.pre = "gpt-2";
  EXPECT_THAT(BpeTokenizer(vocabulary).Encode("xyz"), ElementsAre('x', 'y', 'z'));
}

TEST(BpeTokenizer, ReadsSpecialTokensOnlyWhereAsked) {
  Vocabulary vocabulary = ByteVocabulary();
  const auto bos = vocabulary.bos = AddToken(vocabulary, "<s>", TokenKind::kControl);
  const auto longer = AddToken(vocabulary, "<s>>", TokenKind::kControl);
  const auto user = AddToken(vocabulary, "[U]", TokenKind::kUserDefined);
  const BpeTokenizer tokenizer(vocabulary);
  EXPECT_THAT(tokenizer.Encode("a<s>"), ElementsAre('a', '<', 's', '>'));
  EXPECT_THAT(tokenizer.Encode("a<s>[U]", {.parse_special = true, .add_bos = true}),
              ElementsAre(bos, 'a', bos, user));
  EXPECT_THAT(tokenizer.Encode("<s>>", {.parse_special = true}), ElementsAre(longer));
  EXPECT_THAT(tokenizer.Encode("[U]b"), ElementsAre(user, 'b'));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("a<s>[U]", {.parse_special = true})), "a[U]");
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("a<s>[U]", {.parse_special = true}), {.special = true}),
            "a<s>[U]");
}

TEST(BpeTokenizer, KnowsWhatEndsGeneration) {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.eos = AddToken(vocabulary, "</s>", TokenKind::kControl);
  const auto turn = AddToken(vocabulary, "<|eot_id|>", TokenKind::kControl);
  const BpeTokenizer tokenizer(vocabulary);
  EXPECT_TRUE(tokenizer.IsEndOfGeneration(vocabulary.eos));
  EXPECT_TRUE(tokenizer.IsEndOfGeneration(turn));
  EXPECT_FALSE(tokenizer.IsEndOfGeneration('a'));
  EXPECT_FALSE(tokenizer.IsEndOfGeneration(-1));
}

TEST(BpeTokenizer, GivesBackAnyBytes) {
  Vocabulary vocabulary = ByteVocabulary();
  AddMerge(vocabulary, ToByteAlphabet("\xE2"), ToByteAlphabet("\x82"));
  const BpeTokenizer tokenizer(vocabulary);
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(bytes)), bytes);
  }
}

TEST(BpeTokenizer, IsQuickOnWhateverRepeats) {
  Vocabulary vocabulary = ByteVocabulary();
  std::string run = "a";
  for (int i = 0; i < 4; ++i, run += run) AddMerge(vocabulary, run, run);
  const BpeTokenizer tokenizer(vocabulary);
  for (const char* unit : {"a", " ", "\n", "-", "7", "\u00A0", "\xFF", "'"}) {
    std::string text;
    while (text.size() < 400'000) text += unit;
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  }
}

TEST(BpeTokenizer, AnswersSeveralThreads) {
  Vocabulary vocabulary = ByteVocabulary();
  AddMerge(vocabulary, "a", "b");
  const BpeTokenizer tokenizer(vocabulary);
  const auto expected = tokenizer.Encode("abba cabab");
  ParallelFor(64, [&](std::int64_t) { EXPECT_EQ(tokenizer.Encode("abba cabab"), expected); });
}

TEST(BpeTokenizer, RefusesBrokenVocabularies) {
  Vocabulary no_bytes;
  no_bytes.tokens = {"a"};
  EXPECT_THROW(Tokenizer::Make(no_bytes), Error);
  Vocabulary no_merges = ByteVocabulary();
  AddToken(no_merges, "ab");
  EXPECT_THROW(Tokenizer::Make(no_merges), Error);
  Vocabulary bad_merge = ByteVocabulary();
  bad_merge.merges = {"ab"};
  EXPECT_THROW(Tokenizer::Make(bad_merge), Error);
  Vocabulary bad_id = ByteVocabulary();
  bad_id.eos = 256;
  EXPECT_THROW(Tokenizer::Make(bad_id), Error);
  Vocabulary bad_kinds = ByteVocabulary();
  bad_kinds.kinds.pop_back();
  EXPECT_THROW(Tokenizer::Make(bad_kinds), Error);
  EXPECT_THROW(Tokenizer::Make(Vocabulary{}), Error);
  const auto tokenizer = Tokenizer::Make(ByteVocabulary());
  EXPECT_THROW(tokenizer->Decode(std::vector<std::int32_t>{256}), Error);
  EXPECT_THROW(tokenizer->Piece(-1), Error);
}

}  // namespace
}  // namespace longspan
