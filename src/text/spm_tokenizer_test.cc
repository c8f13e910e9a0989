#include "text/spm_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/machine.h"
#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

using testing::ElementsAre;

// <unk>, <s>, </s>, the bytes from id 3, then pieces.
class SpmTokenizerTest : public testing::Test {
 protected:
  std::int32_t Add(std::string_view token, TokenKind kind = TokenKind::kNormal, float score = 0) {
    return AddPiece(vocabulary_, token, kind, score);
  }
  static std::int32_t Byte(int byte) { return 3 + byte; }

  Vocabulary vocabulary_ = PieceVocabulary();
};

TEST_F(SpmTokenizerTest, MergesByScore) {
  const auto space = Add("\u2581", TokenKind::kNormal, -9), a = Add("a", TokenKind::kNormal, -9);
  Add("b", TokenKind::kNormal, -9);
  const auto ab = Add("ab", TokenKind::kNormal, -2), ba = Add("ba", TokenKind::kNormal, -1);
  const SpmTokenizer tokenizer(vocabulary_);
  EXPECT_THAT(tokenizer.Encode("aba"), ElementsAre(space, a, ba));
  EXPECT_THAT(tokenizer.Encode("ab"), ElementsAre(space, ab));
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre());
}

TEST_F(SpmTokenizerTest, FallsBackToBytes) {
  const auto space = Add("\u2581");
  const SpmTokenizer tokenizer(vocabulary_);
  EXPECT_THAT(tokenizer.Encode("\u20AC"), ElementsAre(space, Byte(0xE2), Byte(0x82), Byte(0xAC)));
  const std::string bytes("\xFF\0\x80 \xE2\x82", 6);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(bytes)), bytes);
}

TEST_F(SpmTokenizerTest, PrefixesASpaceAndTakesItBack) {
  const auto space = Add("\u2581");
  const auto user = Add("[U]", TokenKind::kUserDefined);
  const SpmTokenizer tokenizer(vocabulary_);
  const auto ids = tokenizer.Encode("<s> a[U]b", {.parse_special = true});
  EXPECT_THAT(ids, ElementsAre(1, space, space, Byte('a'), user, space, Byte('b')));
  EXPECT_EQ(tokenizer.Decode(ids), " a[U]b");
  EXPECT_EQ(tokenizer.Decode(ids, {.special = true}), "<s> a[U]b");
  EXPECT_EQ(tokenizer.Decode(std::vector{space, Byte('a')}, {.continues = true}), " a");
}

TEST_F(SpmTokenizerTest, MergesAcrossSpacesWhereATokenDoes) {
  const auto space = Add("\u2581"), a = Add("a"), as = Add("a\u2581"), asa = Add("a\u2581a");
  const SpmTokenizer tokenizer(vocabulary_);
  EXPECT_THAT(tokenizer.Encode("a a a"), ElementsAre(space, asa, space, a));
  EXPECT_THAT(tokenizer.Encode("a "), ElementsAre(space, as));
}

TEST_F(SpmTokenizerTest, ALongWordTakesItsTimeAndLittleMemory) {
  Add("\u2581");
  Add("a", TokenKind::kNormal, -3);
  Add("aa", TokenKind::kNormal, -1);
  const auto four = Add("aaaa", TokenKind::kNormal, -2);
  const SpmTokenizer tokenizer(vocabulary_);
  const std::string word(8'000'000, 'a');
  const auto before = static_cast<std::int64_t>(PeakMemoryBytes());
  const auto ids = tokenizer.Encode(word);
  // It was 48 for the pairs alone.
  EXPECT_LT(static_cast<std::int64_t>(PeakMemoryBytes()) - before, 20 * std::ssize(word));
  EXPECT_EQ(ids.size(), 2'000'001u);
  EXPECT_EQ(ids.back(), four);
}

TEST_F(SpmTokenizerTest, RefusesBrokenVocabularies) {
  Vocabulary no_scores = vocabulary_;
  no_scores.scores.clear();
  EXPECT_THROW(Tokenizer::Make(no_scores), Error);
  Vocabulary no_fallback = vocabulary_;
  no_fallback.unknown = -1;
  no_fallback.kinds[3] = TokenKind::kUnused;
  EXPECT_THROW(Tokenizer::Make(no_fallback), Error);
}

}  // namespace
}  // namespace longspan
