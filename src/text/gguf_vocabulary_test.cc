#include "text/gguf_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "text/testing/vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

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
