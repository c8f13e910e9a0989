// A real model, trained elsewhere, must write what its own program writes.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/llama2c.h"
#include "formats/llama_gguf.h"
#include "infer/session.h"
#include "infer/speculation.h"
#include "kernels/kernels.h"
#include "text/gguf_vocabulary.h"
#include "text/stream_decoder.h"

namespace longspan {
namespace {

// A GGUF made of llama2.c's files; it exists as long as the test runs.
class Stories260K : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto weights = SharedData("models/stories260K.bin"), tokens = SharedData("models/tok512.bin");
    const auto expected = SharedData("models/stories260K.greedy200.txt");
    if (!weights || !tokens || !expected) GTEST_SKIP() << "shared/data/models is absent";
    ConvertLlama2c(*weights, *tokens, folder_ / "stories260K.gguf");
    expected_ = ReadFile(*expected);
    if (expected_.ends_with('\n')) expected_.pop_back();  // which llama2.c prints last of all
  }

  TestFolder folder_;
  std::string expected_;
};

TEST_P(Stories260K, WritesItsGreedyText) {
  const ModelFile file = LoadModel(folder_ / "stories260K.gguf");
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(file.file->metadata()));
  const Transformer model(file.config, file.weights, ChooseKernels(GetParam()));
  PromptLookup lookup;
  for (Drafter* drafter : {static_cast<Drafter*>(nullptr), static_cast<Drafter*>(&lookup)}) {
    Session session(model);
    session.Prefill(tokenizer->Encode("", {.parse_special = false, .add_bos = true, .add_eos = false}));
    ASSERT_EQ(session.tokens().size(), 1);

    SamplerOptions greedy;
    greedy.temperature = 0;
    Sampler sampler(greedy);
    StreamDecoder decoder(*tokenizer);
    std::string text;
    // 200 steps of llama2.c: one token read and one written in each.
    session.Generate(
        sampler, {.max_tokens = 200, .stop_tokens = {tokenizer->bos()}},
        [&](std::int32_t token) {
          text += decoder.Push(token);
          return true;
        },
        drafter);
    text += decoder.Finish();
    EXPECT_EQ(text, expected_);
    EXPECT_EQ(drafter != nullptr, session.stats().accepted > 0);
  }
}

// Reading a text at once must predict what reading it token by token predicts.
TEST_P(Stories260K, PrefillAgreesWithDecoding) {
  const ModelFile file = LoadModel(folder_ / "stories260K.gguf");
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(file.file->metadata()));
  const Transformer model(file.config, file.weights, ChooseKernels(GetParam()));
  const auto tokens =
      tokenizer->Encode(expected_, {.parse_special = false, .add_bos = true, .add_eos = false});
  Session whole(model), pieces(model);
  whole.Prefill(tokens);
  pieces.Prefill(tokens, NoProgress(), 1);
  for (std::size_t i = 0; i < whole.last_logits().size(); ++i) {
    EXPECT_NEAR(whole.last_logits()[i], pieces.last_logits()[i], 2e-3) << "token " << i;
  }
  Session shared(model);
  shared.Prefill(std::span(tokens).first(60));
  shared.PrefillShared(tokens);
  for (std::size_t i = 0; i < whole.last_logits().size(); ++i) {
    EXPECT_NEAR(whole.last_logits()[i], shared.last_logits()[i], 2e-3) << "token " << i;
  }
}

std::string NameOf(const testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Kernels, Stories260K, testing::ValuesIn(AvailableKernels()), NameOf);

}  // namespace
}  // namespace longspan
