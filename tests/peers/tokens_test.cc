// Token ids compared with llama.cpp's, with the real vocabularies of Llama 2 and 3.
#include <random>

#include "base/file.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/llama_gguf.h"
#include "model/testing/small_config.h"
#include "peers.h"
#include "random_text.h"
#include "text/gguf_vocabulary.h"

namespace longspan::peers {
namespace {

class Tokens : public Peers, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Peers::SetUp();
    if (IsSkipped()) return;
    const std::string name = std::string("models/ggml-vocab-") + GetParam() + ".gguf";
    const auto path = SharedData(name);
    if (!path) GTEST_SKIP() << "shared data is absent: " << name;
    const auto file = GgufFile::Open(*path);
    ours_ = Tokenizer::Make(ReadVocabulary(file->metadata()));
    // llama.cpp loads only whole models, so the vocabulary gets the smallest model that fits it.
    LlamaConfig config = oracle::MinimalConfig(ours_->vocab_size(), 32);
    config.tied_embeddings = true;
    Weights weights = ToFloat(RandomWeights(config, 1), Type::kF16);
    SaveModel(folder_ / "model.gguf", config, weights, file->metadata());
    theirs_ = std::make_unique<LlamaModel>(*Library(), folder_ / "model.gguf");
  }

  void ExpectSame(std::string_view text, bool parse_special = false) const {
    const auto ours = ours_->Encode(text, {.parse_special = parse_special});
    const auto theirs = theirs_->Encode(text, parse_special);
    if (ours == theirs) return;
    const auto [a, b] = std::ranges::mismatch(ours, theirs);
    const auto from = a - ours.begin();
    ADD_FAILURE() << ours.size() << " and " << theirs.size() << " tokens; they differ from token " << from
                  << " on, " << (a == ours.end() ? -1 : *a) << " and " << (b == theirs.end() ? -1 : *b)
                  << ", after '"
                  << ours_->Decode(std::span(ours).subspan(std::max<std::ptrdiff_t>(0, from - 8),
                                                           std::min<std::ptrdiff_t>(from, 8)))
                  << "' in a text of " << text.size()
                  << " bytes: " << testing::PrintToString(std::string(text.substr(0, 200)));
  }

  TestFolder folder_;
  std::unique_ptr<Tokenizer> ours_;
  std::unique_ptr<LlamaModel> theirs_;
};

TEST_P(Tokens, AgreeOnWikitext) {
  const auto path = SharedData("text/wiki.test.raw");
  if (!path) GTEST_SKIP() << "shared data is absent: text/wiki.test.raw";
  ExpectSame(ReadFile(*path));
}

TEST_P(Tokens, AgreeOnRandomUnicode) {
  std::mt19937 random(4);
  for (int i = 0; i < 4000 && !HasFailure(); ++i) ExpectSame(RandomText(random), i % 4 == 0);
}

TEST_P(Tokens, AgreeOnSpecialTokensWithinText) {
  for (const std::string_view text : {"<s>", "</s>a", "a<s> b", "<|begin_of_text|>Hello <|eot_id|>",
                                      "x<|eot_id|><|eot_id|> y", " <unk> ", "<0x0A>"}) {
    for (const bool parse_special : {false, true}) ExpectSame(text, parse_special);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Tokens, testing::Values("llama-bpe", "llama-spm"),
                         [](const auto& name) { return std::string(name.param).substr(6); });

}  // namespace
}  // namespace longspan::peers
