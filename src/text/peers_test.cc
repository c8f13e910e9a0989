// Comparison with others: llama.cpp's vocabularies of Llama 2 and Llama 3, and texts with the ids that they
// give.
#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/peers_vectors.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

class Peers : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto vocabulary = SharedData(Name());
    if (!vocabulary) GTEST_SKIP() << "shared data is absent: " << Name();
    tokenizer_ = Tokenizer::Make(ReadVocabulary(GgufFile::Open(*vocabulary)->metadata()));
  }
  std::string Name() const { return std::string("models/ggml-vocab-") + GetParam() + ".gguf"; }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(Peers, TextsGiveTheSameIds) {
  const auto texts = PeerTexts(ReadFile(*SharedData(Name() + ".inp")));
  const auto expected = PeerIds(ReadFile(*SharedData(Name() + ".out")));
  ASSERT_EQ(texts.size(), expected.size());
  ASSERT_GT(texts.size(), 40u);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto ids = tokenizer_->Encode(texts[i]);
    EXPECT_EQ(ids, expected[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer_->Decode(ids), texts[i]);
  }
}

TEST_P(Peers, WikitextComesBackUnchanged) {
  const auto path = SharedData("text/wiki.test.raw");
  if (!path) GTEST_SKIP() << "shared data is absent: text/wiki.test.raw";
  const std::string text = ReadFile(*path);
  const auto ids = tokenizer_->Encode(text);
  EXPECT_LT(ids.size(), text.size() / 3);
  EXPECT_TRUE(tokenizer_->Decode(ids) == text);
}

TEST_P(Peers, AnyBytesComeBackUnchanged) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 200, '\0');
    const unsigned range = round % 3 == 0 ? 256 : 128;
    for (char& byte : bytes) byte = random() % 4 == 0 ? ' ' : static_cast<char>(random() % range);
    EXPECT_EQ(tokenizer_->Decode(tokenizer_->Encode(bytes)), bytes);
  }
}

TEST_P(Peers, EveryTokenIsReadable) {
  for (std::int32_t id = 0; id < tokenizer_->vocab_size(); ++id)
    EXPECT_FALSE(tokenizer_->Piece(id).empty()) << id;
  EXPECT_GE(tokenizer_->bos(), 0);
  EXPECT_TRUE(tokenizer_->IsEndOfGeneration(tokenizer_->eos()));
  EXPECT_TRUE(tokenizer_->add_bos());
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Peers, testing::Values("llama-bpe", "llama-spm"),
                         [](const auto& name) { return std::string(name.param).substr(6); });

}  // namespace
}  // namespace longspan
