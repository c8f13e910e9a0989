#include "release/extend.h"

#include <gmock/gmock.h>

#include <array>
#include <map>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "model/testing/small_config.h"
#include "release/checksums.h"
#include "release/testing/sample_measurements.h"
#include "text/bpe_trainer.h"
#include "text/gguf_vocabulary.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// Sentences drawn from few words, so that a small vocabulary covers them.
std::string Story(std::uint64_t number, int sentences) {
  constexpr std::array kWho{"The cat", "A fisherman", "My sister", "The old king", "Nobody"};
  constexpr std::array kDoes{"saw", "remembered", "was looking for", "sold", "found"};
  constexpr std::array kWhat{"the river", "a pass key", "the green grass", "the long text", "the sun"};
  Random random(1, number, RandomPurpose::kTest);
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    const auto pick = [&](const auto& words) { return words[static_cast<std::size_t>(random.Below(5))]; };
    text += fmt::format("{} {} {}. ", pick(kWho), pick(kDoes), pick(kWhat));
  }
  return text;
}

// A recipe of seconds: a random base, a few files of text, and every stage.
class ExtendTest : public testing::Test {
 protected:
  ExtendTest() {
    SetThreads(1);
    fs::create_directories(folder_ / "texts");
    std::vector<std::string> texts;
    for (std::uint64_t i = 0; i < 10; ++i) {
      texts.push_back(Story(i, 60));
      WriteFile(folder_ / fmt::format("texts/{}.txt", i), texts.back());
    }
    // The sentences of the passkey test, or its prompts would take more tokens than the window has.
    for (int i = 0; i < 3; ++i) {
      texts.push_back(
          "A pass key is hidden somewhere in the long and dull text below. Find it and keep it in mind, for "
          "you will be "
          "asked for it at the end. The grass is green. The sky is blue. The pass key is. Remember it. is "
          "the pass key. "
          "What is the pass key? The pass key is");
    }
    const Vocabulary vocabulary = TrainBpe(texts, {.vocab_size = 480});
    LlamaConfig config = oracle::MinimalConfig(std::ssize(vocabulary.tokens), 32);
    config.name = "tiny";
    config.hidden_dim = 64;
    config.context = 192;
    GgufMetadata metadata;
    WriteVocabulary(vocabulary, metadata);
    SaveModel(folder_ / "tiny.gguf", config, ToFloat(RandomWeights(config, 1), Type::kF16), metadata);
  }

  Measurements Run(std::string_view learning_rate = "1e-3", std::string_view out = "out",
                   Progress& progress = NoProgress()) {
    WriteFile(folder_ / "recipe.yml", fmt::format(R"(base:
  model: tiny.gguf
data:
  inputs: [texts]
  min_tokens: 20
  validation: 0.2
context:
  target: 384
pose:
  unmodified: 0.2
train:
  adapter: rslora
  rank: 4
  learning_rate: {}
  steps: 6
  batch_size: 2
  retrieval_share: 0.5
  checkpoint_every: 2
  eval_every: 3
  eval_examples: 2
quantize:
  types: [F16, Q8_0]
eval:
  contexts: [64, 384]
  stride: 32
  max_tokens: 256
  passkey:
    lengths: [192, 384]
    depths: 2
    trials: 1
release:
  name: tiny-384
  license: apache-2.0
  out: {}
  sample:
    prompt: The cat
    tokens: 8
)",
                                                  learning_rate, out));
    return Extend(LoadRecipe(folder_ / "recipe.yml"), {"test"}, progress);
  }

  // When each file below the folders was written.
  std::map<std::string, fs::file_time_type> Times(std::string_view out = "out") const {
    std::map<std::string, fs::file_time_type> times;
    for (const char* suffix : {"", ".work"}) {
      const fs::path root = folder_ / fmt::format("{}{}", out, suffix);
      for (const auto& entry : fs::recursive_directory_iterator(root)) {
        if (entry.is_regular_file())
          times[entry.path().lexically_relative(folder_.path()).string()] = entry.last_write_time();
      }
    }
    return times;
  }

  TestFolder folder_;
};

// Presses Ctrl-C when training has done so many steps.
class Interrupter : public Progress {
 public:
  ~Interrupter() override { ClearCancel(); }
  void Start(std::string_view label, std::int64_t, std::string_view) override {
    training_ = label == "train";
  }
  void Update(std::int64_t done, std::string_view) override {
    if (training_ && done == 3) RequestCancel();
  }

 private:
  bool training_ = false;
};

TEST_F(ExtendTest, MakesAReleaseFolder) {
  const Measurements m = Run();
  const fs::path out = folder_ / "out";
  for (const char* file :
       {"README.md", "SHA256SUMS", "tiny-384-F16.gguf", "tiny-384-Q8_0.gguf", "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors", "plots/loss.svg", "plots/perplexity.svg", "plots/passkey.svg"}) {
    EXPECT_TRUE(fs::is_regular_file(out / file)) << file;
  }
  EXPECT_TRUE(VerifyChecksums(out).empty());
  const std::string card = ReadFile(out / "README.md");
  EXPECT_THAT(card, HasSubstr("tiny-384-Q8_0.gguf"));
  EXPECT_THAT(card, HasSubstr("apache-2.0"));

  EXPECT_EQ(m.data.documents_kept, 10);
  EXPECT_EQ(m.training.steps, 6);
  EXPECT_EQ(m.training.tokens, 6 * 2 * 192);
  EXPECT_EQ(m.training.points.size(), 6u);
  EXPECT_EQ(m.training.adapter_scale, 2);
  ASSERT_EQ(m.after.perplexity.size(), 2u);
  EXPECT_EQ(m.before.perplexity[0].tokens, m.after.perplexity[0].tokens);
  // A random model knows nothing: every token is about as likely as any other.
  EXPECT_NEAR(m.before.perplexity[0].perplexity, static_cast<double>(m.base.vocab_size),
              0.1 * static_cast<double>(m.base.vocab_size));
  EXPECT_LT(m.after.perplexity[0].perplexity, m.before.perplexity[0].perplexity);
  EXPECT_EQ(m.after.passkey.size(), 4u);
  ASSERT_EQ(m.quantization.rows.size(), 2u);
  EXPECT_EQ(m.quantization.rows[0].kld_mean, 0);  // F16 of an F16 model is the model
  EXPECT_GT(m.quantization.rows[1].kld_mean, 0);
  EXPECT_LT(m.quantization.rows[1].kld_mean, 1e-2);
  EXPECT_FALSE(m.sample.text.empty());
  EXPECT_GT(m.TotalSeconds(), 0);

  const ModelFile model = LoadModel(out / "tiny-384-Q8_0.gguf");
  EXPECT_EQ(model.config.context, 384);
  EXPECT_EQ(model.config.name, "tiny-384");
  EXPECT_EQ(model.weights.layers[0].q.type(), Type::kQ8_0);
  EXPECT_EQ(ReadPeft(out / "adapter", model.config).pairs.size(), 4u);
}

TEST_F(ExtendTest, DoesNothingTwice) {
  Run();
  const auto before = Times();
  const std::string card = ReadFile(folder_ / "out/README.md"), sums = ReadFile(folder_ / "out/SHA256SUMS");
  Run();
  for (const auto& [file, time] : Times()) {
    // What names and sums up the rest is written each time, and says the same.
    const bool written = file.starts_with("out/adapter") || file.starts_with("out/plots") ||
                         file == "out/README.md" || file == "out/SHA256SUMS" ||
                         file == "out.work/stages.json";
    if (written) continue;
    EXPECT_EQ(time, before.at(file)) << file;
  }
  EXPECT_EQ(Times().size(), before.size());
  EXPECT_EQ(ReadFile(folder_ / "out/README.md"), card);
  EXPECT_EQ(ReadFile(folder_ / "out/SHA256SUMS"), sums);
}

TEST_F(ExtendTest, AnotherLearningRateTrainsAgainButPreparesNothing) {
  Run();
  const auto before = Times();
  const std::string sums = ReadFile(folder_ / "out/SHA256SUMS");
  Run("2e-3");
  const auto after = Times();
  for (const char* file :
       {"out.work/shards/train.lsd", "out.work/data.json", "out.work/evaluate-base.json"}) {
    EXPECT_EQ(after.at(file), before.at(file)) << file;
  }
  for (const char* file : {"out.work/adapter/adapter_model.safetensors", "out.work/merged.gguf",
                           "out/tiny-384-Q8_0.gguf", "out.work/evaluate-result.json"}) {
    EXPECT_GT(after.at(file), before.at(file)) << file;
  }
  EXPECT_NE(ReadFile(folder_ / "out/SHA256SUMS"), sums);
  EXPECT_TRUE(VerifyChecksums(folder_ / "out").empty());
}

TEST_F(ExtendTest, SoDoesEveryOtherSettingOfTheOptimizer) {
  Run();
  const std::string adapter = "out.work/adapter/adapter_model.safetensors";
  for (const char* setting :
       {"beta1: 0.8", "beta2: 0.9", "epsilon: 1e-4", "weight_decay: 0.5", "max_grad_norm: 0.1", "seed: 7"}) {
    const auto before = Times();
    Run(fmt::format("1e-3\n  {}", setting));
    EXPECT_GT(Times().at(adapter), before.at(adapter)) << setting;
  }
}

TEST_F(ExtendTest, GoesOnAfterCtrlC) {
  Run("1e-3", "straight");
  {
    Interrupter interrupter;
    EXPECT_THROW(Run("1e-3", "resumed", interrupter), Error);
  }
  EXPECT_FALSE(fs::exists(folder_ / "resumed/README.md"));
  EXPECT_TRUE(fs::exists(folder_ / "resumed.work/scratch/train/checkpoint.gguf"));
  const Measurements m = Run("1e-3", "resumed");
  EXPECT_EQ(m.training.points.size(), 6u);
  for (const char* file : {"adapter/adapter_model.safetensors", "tiny-384-Q8_0.gguf"}) {
    EXPECT_EQ(Sha256File(folder_ / "resumed" / file), Sha256File(folder_ / "straight" / file)) << file;
  }
}

TEST_F(ExtendTest, RefusesATargetThatTheBaseReachesAlready) {
  Run();
  std::string text = ReadFile(folder_ / "recipe.yml");
  text.replace(text.find("target: 384"), 11, "target: 192");
  WriteFile(folder_ / "recipe.yml", text);
  try {
    Extend(LoadRecipe(folder_ / "recipe.yml"), {"test"}, NoProgress());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("recipe.yml"));
  }
}

// At a target of 65,536 windows of the target would be hours for each type.
TEST_F(ExtendTest, TypesAreComparedInTheRecipesWindows) {
  EXPECT_EQ(Run().quantization.context, 384);
  std::string text = ReadFile(folder_ / "recipe.yml");
  text.replace(text.find("  passkey:"), 0, "  kld: {context: 64, max_tokens: 96}\n");
  WriteFile(folder_ / "recipe.yml", text);
  const Measurements m = Extend(LoadRecipe(folder_ / "recipe.yml"), {"test"}, NoProgress());
  EXPECT_EQ(m.quantization.context, 64);
  EXPECT_LE(m.quantization.tokens, 96);
}

}  // namespace
}  // namespace longspan
