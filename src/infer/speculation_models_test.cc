// Speculation with models from files: which may draft for which, and the same text from a real one.
#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.h"
#include "base/testing/temporary_folder.h"
#include "infer/speculation.h"
#include "model/testing/small_config.h"
#include "text/gguf_vocabulary.h"
#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

class VocabularyTest : public testing::Test {
 protected:
  LoadedModel Model(const std::string& name, const Vocabulary& vocabulary) const {
    const LlamaConfig config = oracle::MinimalConfig(std::ssize(vocabulary.tokens), 16);
    GgufMetadata metadata;
    WriteVocabulary(vocabulary, metadata);
    SaveModel(folder_ / name, config, RandomWeights(config, 1), metadata);
    return LoadedModel(folder_ / name);
  }

  TestFolder folder_;
};

TEST_F(VocabularyTest, MustBeTheSame) {
  Vocabulary vocabulary = ByteVocabulary();
  AddToken(vocabulary, "apple", TokenKind::kUserDefined);
  const LoadedModel model = Model("model.gguf", vocabulary), same = Model("same.gguf", vocabulary);
  EXPECT_NO_THROW(CheckSameVocabulary(same, model));

  const auto refused = [&](const LoadedModel& draft, const char* says) {
    EXPECT_THAT([&] { CheckSameVocabulary(draft, model); },
                testing::ThrowsMessage<Error>(AllOf(HasSubstr("model.gguf"), HasSubstr(says))));
  };
  vocabulary.tokens.back() = "pear";
  refused(Model("pear.gguf", vocabulary), "token 256 is 'pear', the model's 'apple'");
  AddToken(vocabulary, "plum", TokenKind::kUserDefined);
  refused(Model("plum.gguf", vocabulary), "258 tokens, the model 257");
}

// The small base model writes the same text with look-up and with itself as the draft model.
class BaseModel : public testing::Test {
 protected:
  static constexpr std::int64_t kTokens = 200;
  static const LoadedModel& Model() {
    static const LoadedModel model(fs::path(LONGSPAN_SOURCE_DIR) / "models" / "longspan-base.gguf");
    return model;
  }
  static Tokens Text(const SamplerOptions& sampling, Drafter* drafter, GenerateStats& stats) {
    Session session(Model().transformer());
    session.Prefill(Model().tokenizer().Encode("It was a dark night, and", {.add_bos = true}));
    Sampler sampler(sampling);
    Tokens tokens;
    session.Generate(
        sampler, {.max_tokens = kTokens, .stop_tokens = {}},
        [&](std::int32_t token) {
          tokens.push_back(token);
          return true;
        },
        drafter);
    stats = session.stats();
    return tokens;
  }
};

TEST_F(BaseModel, WritesTheSameTextWithLookup) {
  for (const double temperature : {0.0, 0.8}) {
    SamplerOptions sampling;
    sampling.temperature = temperature;
    GenerateStats stats;
    const Tokens plain = Text(sampling, nullptr, stats);
    EXPECT_EQ(stats.passes, kTokens - 1);
    PromptLookup lookup;
    EXPECT_EQ(Text(sampling, &lookup, stats), plain) << temperature;
    EXPECT_GT(stats.proposed, 0);
    EXPECT_LT(stats.passes, kTokens - 1);
  }
}

TEST_F(BaseModel, AcceptsAllOfItsOwnGuesses) {
  SamplerOptions greedy;
  greedy.temperature = 0;
  GenerateStats stats;
  const Tokens plain = Text(greedy, nullptr, stats);
  DraftModel drafter(Model().transformer(), Type::kF16, 5);
  EXPECT_EQ(Text(greedy, &drafter, stats), plain);
  EXPECT_EQ(stats.accepted, stats.proposed);
  EXPECT_EQ(stats.passes, (kTokens - 1 + 5) / 6);
}

}  // namespace
}  // namespace longspan
