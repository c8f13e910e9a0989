#include "text/synthetic_vocabulary.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

#include "base/error.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

TEST(SyntheticVocabulary, HasTheSizeAskedForAndNoTokenTwice) {
  for (const std::int64_t size : {258, 259, 300, 32000, 128256}) {
    const Vocabulary vocabulary = SyntheticVocabulary(size);
    EXPECT_EQ(std::ssize(vocabulary.tokens), size);
    EXPECT_EQ(std::ssize(vocabulary.merges), size - 258);
    EXPECT_EQ(std::ssize(std::set(vocabulary.tokens.begin(), vocabulary.tokens.end())), size);
    EXPECT_NO_THROW(CheckVocabulary(vocabulary, "synthetic"));
  }
  EXPECT_EQ(SyntheticVocabulary(258 + 26 * 26 + 28).tokens.back(), "abb");
  EXPECT_THROW(SyntheticVocabulary(257), Error);
}

TEST(SyntheticVocabulary, AnyBytesComeBackUnchanged) {
  GgufMetadata metadata;
  WriteVocabulary(SyntheticVocabulary(32000), metadata);
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(metadata));
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(round % 2 == 0 ? random() : 'a' + random() % 26);
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(bytes)), bytes);
  }
}

TEST(SyntheticVocabulary, LettersMerge) {
  const auto tokenizer = Tokenizer::Make(SyntheticVocabulary(32000));
  const std::string text = "the quick brown fox jumps over the lazy dog";
  EXPECT_LT(tokenizer->Encode(text).size(), text.size() * 3 / 4);
  EXPECT_EQ(tokenizer->Encode("ab", {.add_bos = true}), (std::vector<std::int32_t>{256, 259}));
}

}  // namespace
}  // namespace longspan
