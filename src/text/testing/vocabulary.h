// Small vocabularies for tests.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "text/byte_alphabet.h"
#include "text/vocabulary.h"

namespace longspan {

// The 256 bytes, ids in order, and nothing to merge.
inline Vocabulary ByteVocabulary() {
  Vocabulary vocabulary;
  vocabulary.pre = "llama-bpe";
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.push_back(ToByteAlphabet(std::string(1, static_cast<char>(byte))));
    vocabulary.kinds.push_back(TokenKind::kNormal);
  }
  return vocabulary;
}

inline std::int32_t AddToken(Vocabulary& vocabulary, std::string_view token,
                             TokenKind kind = TokenKind::kNormal) {
  vocabulary.tokens.emplace_back(token);
  vocabulary.kinds.push_back(kind);
  return static_cast<std::int32_t>(vocabulary.tokens.size()) - 1;
}

// Adds the merge of two tokens and the token that it makes.
inline std::int32_t AddMerge(Vocabulary& vocabulary, const std::string& left, const std::string& right) {
  vocabulary.merges.push_back(left + ' ' + right);
  return AddToken(vocabulary, left + right);
}

// A SentencePiece vocabulary: <unk>, <s>, </s>, the bytes from id 3, then what AddPiece adds.
inline std::int32_t AddPiece(Vocabulary& vocabulary, std::string_view piece,
                             TokenKind kind = TokenKind::kNormal, float score = 0) {
  vocabulary.scores.push_back(score);
  return AddToken(vocabulary, piece, kind);
}

inline Vocabulary PieceVocabulary() {
  Vocabulary vocabulary;
  vocabulary.kind = Vocabulary::Kind::kSpm;
  vocabulary.pre = "default";
  vocabulary.add_space_prefix = true;
  vocabulary.unknown = AddPiece(vocabulary, "<unk>", TokenKind::kUnknown);
  vocabulary.bos = AddPiece(vocabulary, "<s>", TokenKind::kControl);
  vocabulary.eos = AddPiece(vocabulary, "</s>", TokenKind::kControl);
  for (int byte = 0; byte < 256; ++byte)
    AddPiece(vocabulary, fmt::format("<0x{:02X}>", byte), TokenKind::kByte);
  return vocabulary;
}

// Compares everything but the end of a turn and the chat template, which only some files have. Lists are not
// printed, because they may have 128,000 tokens.
inline void ExpectSameVocabulary(const Vocabulary& vocabulary, const Vocabulary& expected) {
  EXPECT_EQ(vocabulary.kind, expected.kind);
  EXPECT_EQ(vocabulary.pre, expected.pre);
  EXPECT_TRUE(vocabulary.tokens == expected.tokens);
  EXPECT_TRUE(vocabulary.kinds == expected.kinds);
  EXPECT_TRUE(vocabulary.scores == expected.scores);
  EXPECT_TRUE(vocabulary.merges == expected.merges);
  EXPECT_EQ(vocabulary.bos, expected.bos);
  EXPECT_EQ(vocabulary.eos, expected.eos);
  EXPECT_EQ(vocabulary.unknown, expected.unknown);
  EXPECT_EQ(vocabulary.pad, expected.pad);
  EXPECT_EQ(vocabulary.add_bos, expected.add_bos);
  EXPECT_EQ(vocabulary.add_eos, expected.add_eos);
  EXPECT_EQ(vocabulary.add_space_prefix, expected.add_space_prefix);
}

}  // namespace longspan
