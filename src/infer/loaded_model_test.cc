#include "infer/loaded_model.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/test_folder.h"
#include "text/gguf_vocabulary.h"
#include "text/testing_vocabulary.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

class LoadedModelTest : public testing::Test {
 protected:
  LoadedModelTest() {
    vocabulary_.bos = AddToken(vocabulary_, "<|begin_of_text|>", TokenKind::kControl);
    vocabulary_.eos = AddToken(vocabulary_, "<|end_of_text|>", TokenKind::kControl);
    vocabulary_.add_bos = true;
    config_.vocab_size = std::ssize(vocabulary_.tokens);
    config_.dim = config_.head_dim = config_.hidden_dim = 16;
    config_.layers = config_.heads = config_.kv_heads = 1;
    config_.context = 64;
  }

  fs::path Save() const {
    GgufMetadata metadata;
    WriteVocabulary(vocabulary_, metadata);
    SaveModel(folder_ / "model.gguf", config_, RandomWeights(config_, 1), metadata);
    return folder_ / "model.gguf";
  }

  TestFolder folder_;
  Vocabulary vocabulary_ = ByteVocabulary();
  LlamaConfig config_;
};

TEST_F(LoadedModelTest, BringsModelAndTokenizerTogether) {
  const LoadedModel model(Save());
  EXPECT_EQ(model.config().context, 64);
  EXPECT_EQ(model.tokenizer().Encode("a").front(), 'a');
  EXPECT_EQ(model.bos(), 256);
  EXPECT_THAT(model.stop_tokens(), testing::ElementsAre(256, 257));
}

TEST_F(LoadedModelTest, BosOnlyWhereTheModelWantsOne) {
  vocabulary_.add_bos = false;
  EXPECT_EQ(LoadedModel(Save()).bos(), std::nullopt);
}

TEST_F(LoadedModelTest, RefusesAVocabularyOfAnotherSize) {
  ++config_.vocab_size;
  const fs::path path = Save();
  EXPECT_THAT([&] { LoadedModel model(path); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("model.gguf")));
}

TEST_F(LoadedModelTest, RopeMayBeOverridden) {
  RopeOverride rope;
  rope.theta = 5e5;
  rope.scaling = RopeScaling::Kind::kLinear;
  rope.factor = 4;
  const LoadedModel model(Save(), rope);
  EXPECT_EQ(model.config().rope_theta, 5e5);
  EXPECT_DOUBLE_EQ(model.transformer().rope().inverse[0], 0.25);
}

}  // namespace
}  // namespace longspan
