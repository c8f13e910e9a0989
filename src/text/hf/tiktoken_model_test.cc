#include "text/hf/tiktoken_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "text/testing/mutations.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Message(const std::string& text) {
  return ErrorOf([&] { ParseTiktoken(text, "a.model"); });
}

TEST(TiktokenModel, ReadsBytesByRank) {
  EXPECT_THAT(ParseTiktoken("YQ== 0\nYWI= 1\nYWJj 2\n", "f"), ElementsAre("a", "ab", "abc"));
  EXPECT_THAT(ParseTiktoken("/w== 0\r\n\n+/8= 1", "f"), ElementsAre("\xFF", "\xFB\xFF"));
}

TEST(TiktokenModel, NamesTheLineThatIsBroken) {
  EXPECT_THAT(Message("YQ== 0\nYR== 1\n"),
              HasSubstr("a.model: line 2 is \"YR== 1\""));  // bits beyond the byte
  EXPECT_THAT(Message("YQ= 0\n"), HasSubstr("line 1 is"));
  EXPECT_THAT(Message("Y*== 0\n"), HasSubstr("line 1 is"));
  EXPECT_THAT(Message("==== 0\n"), HasSubstr("line 1 is"));
  EXPECT_THAT(Message(" 0\n"), HasSubstr("line 1 is"));
  EXPECT_THAT(Message("YQ== 1\n"), HasSubstr("has rank \"1\", expected 0"));
  EXPECT_THAT(Message("YQ==\n"), HasSubstr("has rank \"\""));
  EXPECT_THAT(Message("YQ== 0\nYQ== 1\n"), HasSubstr("line 2 has the token of an earlier line"));
}

TEST(TiktokenModel, MergesEveryPairByTheRankOfWhatItMakes) {
  // "abc" is "a" + "bc" and "ab" + "c".
  const Vocabulary vocabulary = VocabularyFromRanks({"a", "b", "c", "bc", "ab", "abc", " "}, "f");
  EXPECT_THAT(vocabulary.merges, ElementsAre("b c", "a b", "a bc", "ab c"));
  EXPECT_EQ(vocabulary.tokens.back(), "\u0120");
}

TEST(TiktokenModel, KnowsOnlyLlama3sSpecialTokens) {
  EXPECT_THROW(Llama3FromTiktoken("YQ== 0\n", "f"), Error);
}

TEST(TiktokenModel, BearsDamage) {
  std::string file;
  for (int rank = 0; rank < 64; ++rank) {
    const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    file += fmt::format("{}A== {}\n", alphabet[rank], rank);
  }
  ASSERT_EQ(ParseTiktoken(file, "f").size(), 64u);
  ExpectDamageIsBorne(file, 3000,
                      [](const std::string& text) { VocabularyFromRanks(ParseTiktoken(text, "f"), "f"); });
}

TEST(TiktokenModel, AnEndlessTokenIsRefusedQuickly) {
  std::vector<std::string> tokens;
  for (int length = 1; length < 3000; ++length)
    tokens.push_back(std::string(static_cast<std::size_t>(length), 'a'));
  EXPECT_THROW(VocabularyFromRanks(tokens, "f"), Error);
}

}  // namespace
}  // namespace longspan
