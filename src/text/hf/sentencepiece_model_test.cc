#include "text/hf/sentencepiece_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "text/testing/mutations.h"
#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

using testing::HasSubstr;

TokenizerDraft Parse(const std::string& file) {
  return ParseSentencePiece(std::as_bytes(std::span(file)), "a.model");
}

Vocabulary Sample() {
  Vocabulary vocabulary = PieceVocabulary();
  AddPiece(vocabulary, "\u2581", TokenKind::kNormal, -1e9f);
  AddPiece(vocabulary, "a", TokenKind::kNormal, -3.5f);
  AddPiece(vocabulary, "\u2581a", TokenKind::kNormal, -0.25f);
  AddPiece(vocabulary, "[INST]", TokenKind::kUserDefined);
  AddPiece(vocabulary, "spare", TokenKind::kUnused);
  vocabulary.add_bos = true;
  return vocabulary;
}

std::string FileOf(const Vocabulary& vocabulary) {
  return SentencePieceFile(vocabulary, vocabulary.tokens.size(), false);
}

std::string Message(const std::string& file) {
  return ErrorOf([&] { Parse(file); });
}

TEST(SentencePieceModel, ComesBackAsItWent) {
  Vocabulary vocabulary = Sample();
  for (const bool prefix : {true, false}) {
    vocabulary.add_space_prefix = prefix;
    vocabulary.pad = prefix ? -1 : 0;
    const std::string file = FileOf(vocabulary);
    EXPECT_TRUE(IsSentencePiece(std::as_bytes(std::span(file))));
    const TokenizerDraft draft = Parse(file);
    EXPECT_EQ(draft.vocabulary.kind, Vocabulary::Kind::kSpm);
    EXPECT_EQ(draft.vocabulary.tokens, vocabulary.tokens);
    EXPECT_EQ(draft.vocabulary.scores, vocabulary.scores);
    EXPECT_EQ(draft.vocabulary.kinds, vocabulary.kinds);
    EXPECT_EQ(draft.vocabulary.unknown, 0);
    EXPECT_EQ(draft.vocabulary.bos, 1);
    EXPECT_EQ(draft.vocabulary.eos, 2);
    EXPECT_EQ(draft.vocabulary.pad, vocabulary.pad);
    EXPECT_EQ(draft.vocabulary.add_space_prefix, prefix);
    EXPECT_FALSE(draft.remove_extra_whitespaces);
  }
  EXPECT_TRUE(Parse(SentencePieceFile(vocabulary, 10, true)).remove_extra_whitespaces);
}

TEST(SentencePieceModel, RefusesWhatIsBroken) {
  const std::string file = FileOf(Sample());
  // Fields are written as tag, then value: trainer_spec is tag 0x12, its model_type 0x18.
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string bent = file;
    const std::size_t at = bent.rfind(from);
    EXPECT_NE(at, std::string::npos);
    return bent.replace(at, from.size(), to);
  };
  EXPECT_THAT(Message(with("\x18\x02\x20", "\x18\x01\x20")),
              HasSubstr("a.model: a SentencePiece model of type 1"));
  EXPECT_THAT(Message(with("spare", "<unk>")), HasSubstr("\"<unk>\" appears twice"));
  EXPECT_THAT(Message(with("spare", "spar\xFF")), HasSubstr("is not UTF-8"));
  EXPECT_THAT(Message(with("\xD0\x02\x02", "\xD0\x02\x7F")), testing::IsEmpty());  // eos 127, a token
  EXPECT_THAT(Message(with("\xC8\x02\x01\xD0", "\xC9\x02\x01\xD0")), HasSubstr("at byte"));
  EXPECT_THAT(Message(file.substr(0, file.size() - 1)), HasSubstr("a.model: at byte"));
  EXPECT_THAT(Message(std::string("\x0A\xFF\xFF\xFF\xFF\x0F", 6)), HasSubstr("a field of 4294967295 bytes"));
  EXPECT_THAT(Message(std::string(11, '\xFF')), HasSubstr("more than ten bytes"));
  EXPECT_THAT(Message(""), HasSubstr("has no trainer_spec"));
}

TEST(SentencePieceModel, BearsDamage) {
  ExpectDamageIsBorne(FileOf(Sample()), 3000, [](const std::string& file) { Parse(file); });
}

}  // namespace
}  // namespace longspan
