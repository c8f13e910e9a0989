#include "text/gguf_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "text/testing/vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Vocabulary SmallVocabulary() {
  Vocabulary vocabulary = ByteVocabulary();
  AddMerge(vocabulary, "a", "b");
  vocabulary.bos = AddToken(vocabulary, "<s>", TokenKind::kControl);
  vocabulary.eot = AddToken(vocabulary, "<e>", TokenKind::kControl);
  vocabulary.add_bos = true;
  vocabulary.chat_template = "{{ messages }}";
  return vocabulary;
}

TEST(GgufVocabulary, ComesBackAsItWent) {
  for (const bool spm : {false, true}) {
    Vocabulary vocabulary = SmallVocabulary();
    if (spm) {
      vocabulary.kind = Vocabulary::Kind::kSpm;
      vocabulary.scores.assign(vocabulary.tokens.size(), -1.5f);
      vocabulary.add_space_prefix = true;
    }
    GgufMetadata metadata;
    WriteVocabulary(vocabulary, metadata);
    const Vocabulary back = ReadVocabulary(metadata);
    ExpectSameVocabulary(back, vocabulary);
    EXPECT_EQ(back.eos, -1);
    EXPECT_EQ(back.eot, vocabulary.eot);
    EXPECT_EQ(back.chat_template, vocabulary.chat_template);
  }
}

TEST(GgufVocabulary, RefusesWhatIsBroken) {
  const auto fails = [](const char* key, GgufValue value) {
    GgufMetadata metadata;
    WriteVocabulary(SmallVocabulary(), metadata);
    metadata.Set(key, std::move(value));
    try {
      ReadVocabulary(metadata);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  EXPECT_TRUE(fails("tokenizer.ggml.model", "bert"));
  EXPECT_TRUE(fails("tokenizer.ggml.tokens", std::uint32_t{7}));
  EXPECT_TRUE(fails("tokenizer.ggml.token_type", std::vector<std::int32_t>{1}));
  EXPECT_TRUE(fails("tokenizer.ggml.token_type", std::vector<std::int32_t>(259, 9)));
  EXPECT_TRUE(fails("tokenizer.ggml.bos_token_id", std::uint32_t{259}));
  EXPECT_TRUE(fails("tokenizer.ggml.eos_token_id", std::int64_t{1} << 40));
  EXPECT_TRUE(fails("tokenizer.ggml.eos_token_id", std::int32_t{-7}));
  EXPECT_FALSE(fails("tokenizer.ggml.eos_token_id", std::uint32_t{0xFFFFFFFF}));
  EXPECT_THROW(ReadVocabulary(GgufMetadata()), Error);
}

TEST(GgufVocabulary, WarnsOfWhatItDoesWithout) {
  const auto warnings = [](const auto& change) {
    GgufMetadata metadata("a.gguf");
    WriteVocabulary(SmallVocabulary(), metadata);
    change(metadata);
    const Vocabulary vocabulary = ReadVocabulary(metadata);
    EXPECT_EQ(vocabulary.pad, -1);
    return vocabulary.warnings;
  };
  EXPECT_THAT(warnings([](GgufMetadata&) {}), IsEmpty());
  EXPECT_THAT(warnings([](GgufMetadata& m) { m.Set("tokenizer.ggml.padding_token_id", std::uint32_t{259}); }),
              ElementsAre("a.gguf: the padding token's id is 259, of 259 tokens: there is no such token"));
  EXPECT_THAT(warnings([](GgufMetadata& m) { m.Set("tokenizer.ggml.unknown_token_id", std::int32_t{-7}); }),
              ElementsAre(HasSubstr("unknown token's id is -7")));
  EXPECT_THAT(warnings([](GgufMetadata& m) { m.Set("tokenizer.ggml.pre", ""); }),
              ElementsAre(HasSubstr("a.gguf: tokenizer.ggml.pre is missing")));
}

TEST(GgufVocabulary, ByteLevelNeedsMerges) {
  GgufMetadata metadata("a.gguf");
  WriteVocabulary(SmallVocabulary(), metadata);
  metadata.Set("tokenizer.ggml.merges", std::vector<std::string>());
  EXPECT_THAT(ErrorOf([&] { ReadVocabulary(metadata); }), HasSubstr("a.gguf: byte-level BPE of 259 tokens"));
  // If all tokens are bytes, there is nothing to merge.
  GgufMetadata bytes;
  WriteVocabulary(ByteVocabulary(), bytes);
  EXPECT_TRUE(ReadVocabulary(bytes).merges.empty());
}

TEST(GgufVocabulary, KeepsWhatTokensAskOfTheTextAround) {
  Vocabulary vocabulary = SmallVocabulary();
  vocabulary.edges = {{257, {.rstrip = true}}, {258, {.lstrip = true, .single_word = true}}};
  GgufMetadata metadata;
  WriteVocabulary(vocabulary, metadata);
  EXPECT_EQ(ReadVocabulary(metadata).edges, vocabulary.edges);
  metadata.Set("longspan.tokenizer.rstrip_token_ids", std::vector<std::int32_t>{259});
  EXPECT_THAT(ErrorOf([&] { ReadVocabulary(metadata); }), HasSubstr("rstrip_token_ids holds 259"));
}

TEST(GgufVocabulary, ItsWordsCannotBreakAMessage) {
  const auto message = [](const char* key, GgufValue value) -> std::string {
    GgufMetadata metadata;
    WriteVocabulary(SmallVocabulary(), metadata);
    metadata.Set(key, std::move(value));
    return ErrorOf([&] { Tokenizer::Make(ReadVocabulary(metadata)); });
  };
  const std::string hostile("a\0\n\x1b[2J", 7);
  EXPECT_THAT(message("tokenizer.ggml.model", hostile), testing::HasSubstr("a\\x00\\x0a\\x1b[2J"));
  EXPECT_THAT(message("tokenizer.ggml.pre", hostile), testing::HasSubstr("a\\x00\\x0a\\x1b[2J"));
  EXPECT_THAT(message("tokenizer.ggml.merges", std::vector<std::string>{hostile}),
              testing::HasSubstr("a\\x00\\x0a\\x1b[2J"));
}

}  // namespace
}  // namespace longspan
