#include "release/recipe/recipe_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "data/prepare.h"
#include "formats/llama_gguf.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

namespace fs = std::filesystem;

// Recipes for the model that comes with longspan: a window of 512.
class RecipeCheckTest : public ::testing::Test {
 protected:
  RecipeCheckTest() {
    fs::create_symlink(fs::path(LONGSPAN_SOURCE_DIR) / "models/longspan-base.gguf", folder_ / "base.gguf");
    WriteFile(folder_ / "texts/a.txt", "text");
  }

  void Check(std::string_view from = {}, std::string_view to = {}) {
    std::string text = R"(base: {model: base.gguf}
data: {inputs: texts}
context: {target: 2_048}
rope: {scaling: yarn}
train: {learning_rate: 1e-3, steps: 2}
quantize: {types: [F16]}
eval: {stride: 64}
release: {name: x, license: mit, out: out}
)";
    if (!from.empty()) {
      const std::size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      text.replace(at, from.size(), to);
    }
    WriteFile(folder_ / "r.yml", text);
    CheckRecipe(LoadRecipe(folder_ / "r.yml"));
  }
  void ExpectFault(std::string_view from, std::string_view to, const std::string& message) {
    EXPECT_THAT([&] { Check(from, to); }, ThrowsMessage<Error>(HasSubstr(message)));
  }

  TestFolder folder_;
};

TEST_F(RecipeCheckTest, AcceptsWhatIsRight) {
  Check();
  Check("scaling: yarn", "scaling: yarn, factor: 4");
  Check("[F16]", "[F16, Q8_0, Q4_K_M, Q2_K, IQ3_S]");
  Check("mit, out: out", "mit, out: out, huggingface: true");
}

TEST_F(RecipeCheckTest, FilesMustBeThere) {
  ExpectFault("model: base.gguf", "model: bass.gguf", "r.yml:1: base.model: no file or folder at ");
  ExpectFault("inputs: texts", "inputs: [texts, 'more/*']", "r.yml:2: data.inputs: no file or folder at ");
  ExpectFault("inputs: texts", "inputs: nowhere, packages: [perl-doc]", "apt-get install perl-doc");
  ExpectFault("stride: 64", "stride: 64, inputs: books", "r.yml:7: eval.inputs: no file or folder at ");
}

TEST_F(RecipeCheckTest, AnOutputIsNoInput) {
  ExpectFault("out: out", "out: texts", "r.yml:8: release.out: ");
  ExpectFault("out: out", "out: .", "holds an input, ");
  ExpectFault("out: out", "out: texts/out", "lies within an input, ");
  ExpectFault("out: out", "out: texts/a.txt", "a.txt is a file; write the name of a folder");
  // The folder of intermediate results beside it is refused, too.
  WriteFile(folder_ / "out.work/b.txt", "text");
  ExpectFault("inputs: texts", "inputs: out.work", "out.work, which is written, holds an input, ");
}

TEST_F(RecipeCheckTest, WindowsPromptsAndTypesFitTheBase) {
  ExpectFault("2_048", "512",
              "r.yml:3: context.target: 512 is no more than the base's own window, 512; write more");
  ExpectFault(
      "scaling: yarn", "scaling: yarn, factor: 2",
      "r.yml:4: rope.factor: 2 times 512 tokens is less than the target, 2048; write 4, or leave it out");
  ExpectFault("scaling: yarn}\n", "scaling: yarn}\npose: {chunks: 600}\n",
              "r.yml:5: pose.chunks: 600 chunks in an example of 512 tokens");
  ExpectFault("stride: 64", "stride: 64, passkey: {lengths: [16, 512]}",
              "r.yml:7: eval.passkey.lengths: a prompt needs ");
  ExpectFault("[F16]", "[F16, IQ2_XS]",
              "r.yml:6: quantize.types: IQ2_XS needs an importance matrix, which extend does not make");
}

// What the release asks for must be able to hold the model that comes out.
TEST_F(RecipeCheckTest, AFolderHasNoWordForEveryScaling) {
  Check("scaling: yarn", "scaling: ntk");
  const std::string text = ReadFile(folder_ / "r.yml");
  std::string both = text;
  both.replace(both.find("out: out"), 8, "out: out, huggingface: true");
  WriteFile(folder_ / "r.yml", both);
  EXPECT_THAT([&] { CheckRecipe(LoadRecipe(folder_ / "r.yml")); },
              ThrowsMessage<Error>(HasSubstr("r.yml:8: release.huggingface: config.json cannot express ntk "
                                             "scaling; raise rope_theta instead; write false")));
}

// Divisors of no known scaling cannot follow another theta.
TEST_F(RecipeCheckTest, TheScalingOfTheBaseGoesWithTheRecipes) {
  ModelFile base = LoadModel(folder_ / "base.gguf");
  base.weights.rope_factors = Tensor::Allocate(Type::kF32, {base.config.head_dim / 2});
  std::ranges::fill(base.weights.rope_factors.mutable_floats(), 3.0f);
  SaveModel(folder_ / "scaled.gguf", base.config, base.weights, base.file->metadata());
  Check("model: base.gguf", "model: scaled.gguf");  // another scaling replaces them
  ExpectFault("base.gguf}\ndata: {inputs: texts}\ncontext: {target: 2_048}\nrope: {scaling: yarn}",
              "scaled.gguf}\ndata: {inputs: texts}\ncontext: {target: 2_048}\nrope: {theta: 5e4}",
              "r.yml:4: rope: the model's RoPE divisors (rope_freqs) match no known scaling");
}

// A Hugging Face folder is checked as the file is that is made of it.
TEST_F(RecipeCheckTest, AFolderIsCheckedLikeAFile) {
  ConvertGgufToHf(folder_ / "base.gguf", folder_ / "hf", {}, NoProgress());
  fs::remove(folder_ / "base.gguf");
  fs::create_symlink("hf", folder_ / "base.gguf");
  Check();
  Check("mit, out: out", "mit, out: out, huggingface: true");
  ExpectFault("2_048", "512",
              "r.yml:3: context.target: 512 is no more than the base's own window, 512; write more");
  ExpectFault("stride: 64", "stride: 64, passkey: {lengths: [16, 512]}",
              "r.yml:7: eval.passkey.lengths: a prompt needs ");
  ExpectFault("[F16]", "[F16, IQ2_XS]", "r.yml:6: quantize.types: IQ2_XS needs an importance matrix");
  ExpectFault("model: base.gguf", "model: texts", "texts: expected the folder of a Hugging Face model");
  fs::remove(folder_ / "hf/tokenizer.json");
  ExpectFault("", "", "neither tokenizer.json nor tokenizer.model");
}

// Whatever is wrong with a file, the message says which key names it, and keeps the kind of the error.
TEST_F(RecipeCheckTest, TheBaseMustBeAModel) {
  WriteFile(folder_ / "page.gguf", "<!DOCTYPE html>");
  ExpectFault("model: base.gguf", "model: page.gguf",
              "r.yml:1: base.model: " + (folder_ / "page.gguf").string() + ": ");
  ExpectFault("model: base.gguf", "model: texts", "r.yml:1: base.model: ");  // no Hugging Face folder
  WriteFile(folder_ / "folder/config.json", R"({"model_type": "mamba"})");
  ExpectFault("model: base.gguf", "model: folder", "r.yml:1: base.model: ");
  EXPECT_EQ(KindOf([&] { Check("model: base.gguf", "model: folder"); }), ErrorKind::kUnsupported);
}

// A rank that no matrix has would take memory by the gigabyte, and train nothing more.
TEST_F(RecipeCheckTest, RanksAndExamplesFitTheBase) {
  ExpectFault(
      "steps: 2", "steps: 2, rank: 257",
      "r.yml:5: train.rank: 257 is more than any matrix of train.targets has, 256; write 256 or less");
  ExpectFault("steps: 2", "steps: 2, rank: 129, targets: [k, v]", "has, 128; write 128 or less");
  Check("steps: 2", "steps: 2, rank: 256");
  ExpectFault("2_048}\nrope: {scaling: yarn}\ntrain: {learning_rate: 1e-3, steps: 2}",
              "2_048, window: 16}\nrope: {scaling: yarn}\ntrain: {learning_rate: 1e-3, steps: 2, "
              "retrieval_share: 0.5}",
              "r.yml:5: train.retrieval_share: such an example needs ");
}

TEST_F(RecipeCheckTest, TrainingNeedsItsShards) {
  const auto check = [&](std::string_view text) {
    WriteFile(folder_ / "t.yml", text);
    CheckRecipe(LoadRecipe(folder_ / "t.yml", kForTrain), kForTrain);
  };
  const auto expect_fault = [&](std::string_view text, const std::string& message) {
    EXPECT_THAT([&] { check(text); }, ThrowsMessage<Error>(HasSubstr(message)));
  };
  const std::string data = "\ndata: {shards: s}\n", base = "base: {model: base.gguf}" + data,
                    train = "train: {learning_rate: 1e-3, steps: 2, out: o}\n";
  expect_fault(base + train, "t.yml:2: data.shards: no file or folder at ");
  fs::create_directory(folder_ / "s");
  expect_fault(base + train, "t.yml:2: data.shards: " + (folder_ / "s/train.lsd").string());
  const ModelFile model = LoadModel(folder_ / "base.gguf");
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(model.file->metadata()));
  PrepareOptions options;
  Prepare({folder_ / "texts"}, EncoderOf(*tokenizer), options, folder_ / "s", NoProgress());
  check(base + train);
  expect_fault("base: {model: texts}" + data + train, "t.yml:1: base.model: ");
  expect_fault("base: {model: texts}" + data + train, "longspan convert");
  expect_fault(base + "train: {learning_rate: 1e-3, steps: 2, out: s}\n", "t.yml:3: train.out: ");
  expect_fault(base + "train: {learning_rate: 1e-3, steps: 2, out: o, rank: 300}\n", "t.yml:3: train.rank: ");
  const auto fresh = [&](const std::string& vocabulary, const std::string& heads) {
    return "base: {new: {vocabulary: " + vocabulary + ", dim: 8, layers: 1, heads: 4, kv_heads: " + heads +
           ", hidden_dim: 8, context: 8}}" + data + train;
  };
  expect_fault(fresh("v.gguf", "4"), "t.yml:1: base.new.vocabulary: no file or folder at ");
  expect_fault(fresh("texts/a.txt", "4"), "t.yml:1: base.new.vocabulary: ");
  expect_fault(fresh("base.gguf", "3"), "t.yml:1: base.new: 4 heads cannot share 3 KV heads evenly");
  check(fresh("base.gguf", "4"));
}

}  // namespace
}  // namespace longspan
