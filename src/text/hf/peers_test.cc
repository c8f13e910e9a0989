// The real tokenizers of Llama 2 and Llama 3, by every way from a Hugging Face folder to GGUF's keys: each
// result must equal llama.cpp's vocabulary files.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/hf/tokenizer.h"
#include "text/hf/tokenizer_json_writer.h"
#include "text/peers_vectors.h"
#include "text/testing/vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

struct Model {
  const char* gguf;
  const char* model;
  std::int64_t vocab_size;
};

class HfPeers : public testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    const auto gguf = SharedData(Name()), model = SharedData(std::string("models/") + GetParam().model);
    if (!gguf || !model) GTEST_SKIP() << "shared data is absent: " << Name() << ", " << GetParam().model;
    file_ = GgufFile::Open(*gguf);
    expected_ = ReadVocabulary(file_->metadata());
    model_ = *model;
  }
  static std::string Name() { return std::string("models/ggml-vocab-") + GetParam().gguf + ".gguf"; }
  bool IsSpm() const { return expected_.kind == Vocabulary::Kind::kSpm; }

  Vocabulary FromModel() const {
    const TestFolder folder;
    fs::copy_file(model_, folder / "tokenizer.model");
    return ReadVocabulary(ReadHfTokenizer(folder.path(), GetParam().vocab_size));
  }

  // Through tokenizer.json as longspan writes it.
  Vocabulary FromJson() const {
    const TestFolder folder;
    WriteHfTokenizer(file_->metadata(), folder.path());
    fs::remove(folder / "tokenizer.model");
    return ReadVocabulary(ReadHfTokenizer(folder.path(), GetParam().vocab_size));
  }

  std::shared_ptr<const GgufFile> file_;
  Vocabulary expected_;
  fs::path model_;
};

TEST_P(HfPeers, TokenizerModelIsTheSameVocabulary) { ExpectSameVocabulary(FromModel(), expected_); }

TEST_P(HfPeers, TokenizerJsonIsTheSameVocabulary) {
  Vocabulary vocabulary = FromJson();
  // Merges do not give the same scores back, but scores that give the same merges.
  const auto merges = [](const Vocabulary& v) { return TokenizerJson(v, v.tokens.size(), "source"); };
  EXPECT_TRUE(merges(vocabulary) == merges(expected_));
  vocabulary.scores = expected_.scores;
  ExpectSameVocabulary(vocabulary, expected_);
}

TEST_P(HfPeers, WhatWasWrittenIsReadAsTheSameKeys) {
  const TestFolder first, second;
  WriteHfTokenizer(file_->metadata(), first.path());
  const GgufMetadata metadata = ReadHfTokenizer(first.path(), GetParam().vocab_size);
  WriteHfTokenizer(metadata, second.path());
  const GgufMetadata again = ReadHfTokenizer(second.path(), GetParam().vocab_size);
  EXPECT_TRUE(std::equal(metadata.begin(), metadata.end(), again.begin(), again.end()));
}

TEST_P(HfPeers, TextsGiveTheSameIds) {
  const auto texts = PeerTexts(ReadFile(*SharedData(Name() + ".inp")));
  const auto ids = PeerIds(ReadFile(*SharedData(Name() + ".out")));
  ASSERT_EQ(texts.size(), ids.size());
  const auto wiki = SharedData("text/wiki.test.raw");
  const std::string text = wiki ? ReadFile(*wiki) : "";
  const auto expected = Tokenizer::Make(expected_)->Encode(text);
  for (const Vocabulary& vocabulary : {FromModel(), FromJson()}) {
    const auto tokenizer = Tokenizer::Make(vocabulary);
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(tokenizer->Encode(texts[i]), ids[i]) << texts[i];
    EXPECT_TRUE(tokenizer->Encode(text) == expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HfPeers,
                         testing::Values(Model{"llama-bpe", "llama3-tokenizer.model", 128256},
                                         Model{"llama-spm", "llama2-tokenizer.model", 32000}),
                         [](const auto& info) { return std::string(info.param.gguf).substr(6); });

}  // namespace
}  // namespace longspan
