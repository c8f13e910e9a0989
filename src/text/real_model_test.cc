// SmolLM2's vocabulary, because a real model lacks bytes (21 here) and has its own rules for digits and
// merges. The ids are those of huggingface/tokenizers 0.23.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RealModel : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path path =
        std::filesystem::path(LONGSPAN_SOURCE_DIR) / "build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
    tokenizer_ = Tokenizer::Make(ReadVocabulary(GgufFile::Open(path)->metadata()));
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(RealModel, LeavesOutBytesBeforeMerging) {
  EXPECT_THAT(tokenizer_->Encode("!\4!"), ElementsAre(10095));
  EXPECT_EQ(tokenizer_->bytes_left_out(), 1);
  EXPECT_THAT(tokenizer_->Encode("\x06\x13\x14\x16\x1d"), IsEmpty());
  EXPECT_EQ(tokenizer_->bytes_left_out(), 6);
  EXPECT_THAT(tokenizer_->vocabulary().warnings, IsEmpty());
}

TEST_F(RealModel, GivesTheReferencesIds) {
  EXPECT_THAT(tokenizer_->Encode("Hello world, it's 12345\n\n  x"),
              ElementsAre(19556, 905, 28, 357, 506, 216, 33, 34, 35, 36, 37, 8866, 1792));
  EXPECT_THAT(tokenizer_->Encode("caf\u00E9 \u4F60\u597D \U0001F600"),
              ElementsAre(83, 1939, 2756, 216, 18645, 250, 48392, 138, 40303, 218));
  // U+180E is not a space.
  EXPECT_THAT(tokenizer_->Encode("a\u180Eb \u180E c"),
              ElementsAre(81, 172, 250, 232, 82, 15822, 250, 232, 265));
  EXPECT_EQ(tokenizer_->bytes_left_out(), 0);
}

TEST_F(RealModel, GivesTheReferencesIdsOfALongText) {
  const auto path = SharedData("text/wiki.test.raw");
  if (!path) GTEST_SKIP() << "shared data is absent: text/wiki.test.raw";
  const auto ids = tokenizer_->Encode(ReadFile(*path).substr(0, 400'000));
  EXPECT_EQ(ids.size(), 95'815u);
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a of the ids' bytes
  for (const std::int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (id >> shift & 0xFF)) * 1099511628211u;
  }
  EXPECT_EQ(hash, 0x43436c5946d640b5u);
}

}  // namespace
}  // namespace longspan
