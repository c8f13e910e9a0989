#include "release/recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "release/job_paths.h"
#include "release/recipe/recipe_rules.h"
#include "release/testing/recipe_files.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

TEST_F(RecipeTest, LeastIsEnough) {
  const Recipe recipe = Load(kLeast);
  EXPECT_EQ(recipe.base, folder_ / "base.gguf");
  EXPECT_EQ(recipe.base_id, "base");
  EXPECT_EQ(recipe.context.target, 4096);
  EXPECT_EQ(recipe.train.steps, 10);
  EXPECT_FALSE(recipe.train.epochs.has_value());
  EXPECT_DOUBLE_EQ(recipe.train.learning_rate, 2e-4);
  EXPECT_THAT(recipe.eval.contexts, ElementsAre(4096));
  EXPECT_THAT(recipe.data.inputs, ElementsAre("text"));
  EXPECT_EQ(recipe.release.out, folder_ / "out/small");
}

TEST_F(RecipeTest, TheBaseIsCalledAfterItsFileOrFolder) {
  EXPECT_EQ(LoadWith("base.gguf", "Llama-3.2-1B.Q8_0.gguf").base_id, "Llama-3.2-1B.Q8_0");
  EXPECT_EQ(LoadWith("base.gguf", "Llama-3.2-1B").base_id, "Llama-3.2-1B");
  EXPECT_EQ(LoadWith("base.gguf", "Llama-3.2-1B/").base_id, "Llama-3.2-1B");
  EXPECT_EQ(LoadWith("base.gguf", ".").base_id, folder_.path().filename());
}

TEST_F(RecipeTest, BlankKeysKeepTheirDefaults) {
  EXPECT_EQ(LoadWith("  steps: 10\n", "  steps: 10\n  batch_size:\n").train.batch_size, 1);
}

TEST_F(RecipeTest, ErrorsNameFileLineAndKey) {
  ExpectFault("  steps: 10", "  stepps: 10", "r.yml:6: train.stepps: unknown key; did you mean 'steps'?");
  ExpectFault("  steps: 10", "  steps: 10\n  zzzzzzzz: 1", "r.yml:7: train.zzzzzzzz: unknown key");
  ExpectFault("steps: 10", "steps: ten", "r.yml:6: train.steps: expected an integer, found 'ten'");
  ExpectFault("steps: 10", "steps: [1, 2]", "r.yml:6: train.steps: expected an integer, found a list");
  ExpectFault("  learning_rate: 2e-4\n", "", "train.learning_rate: is missing");
  ExpectFault("steps: 10", "steps: 10\n  steps: 11", "r.yml:7: train.steps: given twice");
  ExpectFault("steps: 10", "steps: 10\n  epochs: 1", "r.yml:6: train.steps: expected either steps or epochs");
  ExpectFault("steps: 10", "steps: 10\n  rank: 0", "r.yml:7: train.rank: expected 1 to 65536, found 0");
  ExpectFault("steps: 10", "steps: 10\n  adapter: dora",
              "train.adapter: expected one of full, lora, rslora, found 'dora'");
  ExpectFault("steps: 10", "steps: 10\n  targets: [q, x]",
              "r.yml:7: train.targets: expected q, k, v, o, gate, up, down, found 'x'");
  ExpectFault("steps: 10", "steps: 10\n  learning_rte: nan", "did you mean 'learning_rate'?");
  ExpectFault("2e-4", "nan", "r.yml:5: train.learning_rate: expected a number");
  ExpectFault("data: {inputs: text}", "data: text",
              "r.yml:2: data: expected a mapping of keys, found 'text'");
  ExpectFault("data: {inputs: text}\n", "", "data.inputs: is missing (Documents");
  ExpectFault("name: small", "name: ../small", "release.name: expected letters");
  ExpectFault("context: {target: 4_096}", "context: {target: 4_096, window: 8_192}",
              "context.window: 8192 is more than");
  ExpectFault("base:", "rope: {scaling: magic}\nbase:",
              "r.yml:1: rope.scaling: expected one of none, linear, ntk, yarn, llama3, found 'magic'");
  ExpectFault("base:", "extra: 1\nbase:", "r.yml:1: extra: unknown key");
}

TEST_F(RecipeTest, RefusesWhatIsNotYaml) {
  EXPECT_THAT([&] { Load("base: [1, 2\nfoo: }"); }, ThrowsMessage<Error>(HasSubstr("r.yml:")));
  EXPECT_THAT([&] { Load(std::string(100'000, '[')); }, ThrowsMessage<Error>(HasSubstr("nested deeper")));
  EXPECT_THAT([&] { Load("base:\n\tmodel: x\n"); },
              ThrowsMessage<Error>(HasSubstr("r.yml:2: indented by a tab")));
  EXPECT_THAT([&] { Load("base:\n  model: caf\xe9.gguf\n"); },
              ThrowsMessage<Error>(HasSubstr("r.yml:2: expected UTF-8, found the byte 0xe9")));
  EXPECT_THAT([&] { Load("just text"); }, ThrowsMessage<Error>(HasSubstr("expected a mapping of keys")));
  EXPECT_THAT([&] { Load(""); }, ThrowsMessage<Error>(HasSubstr("base.model: is missing")));
  EXPECT_THROW(LoadRecipe(folder_ / "absent.yml"), Error);
}

TEST_F(RecipeTest, UnderscoresStandBetweenDigits) {
  EXPECT_EQ(LoadWith("4_096", "65_536").context.target, 65'536);
  for (const char* bad : {"_4096", "4096_", "4__096", "4_096x", "40_9.6", "99999999999999999999"}) {
    ExpectFault("4_096", bad, "r.yml:3: context.target: expected an integer");
  }
}

TEST_F(RecipeTest, PatternsFindFiles) {
  WriteFile(folder_ / "v1/pod/a.pod", "text");
  WriteFile(folder_ / "v2/pod/b.pod", "text");
  const Recipe recipe = LoadWith("inputs: text", "inputs: ['*/pod']");
  EXPECT_THAT(ResolveInputs(recipe, recipe.data.inputs), ElementsAre(folder_ / "v1/pod", folder_ / "v2/pod"));
  const Recipe absent = LoadWith("inputs: text", "inputs: none/*, packages: [perl-doc]");
  EXPECT_THAT([&] { ResolveInputs(absent, absent.data.inputs); },
              ThrowsMessage<Error>(HasSubstr("apt-get install perl-doc")));
}

TEST_F(RecipeTest, ContextsAndTokensOfMeasurementsHaveAffordableDefaults) {
  const EvalRecipe eval = LoadWith("4_096", "65_536").eval;
  EXPECT_THAT(eval.contexts, ElementsAre(4096));
  EXPECT_EQ(eval.stride, 2048);
  EXPECT_EQ(eval.max_tokens, 16'384);
  EXPECT_THAT(eval.passkey.lengths, ElementsAre(65'536));
  EXPECT_EQ(eval.passkey.depths * eval.passkey.trials, 3);
  EXPECT_EQ(eval.kld.context, 4096);  // never windows of the whole target
  EXPECT_EQ(eval.kld.max_tokens, 8'192);
  EXPECT_EQ(eval.by_position.documents, 1);
  EXPECT_EQ(eval.by_position.max_tokens, 65'536);
  EXPECT_EQ(eval.LongestWindow(), 4096);
  const EvalRecipe small = LoadWith("4_096", "512").eval;
  EXPECT_THAT(small.contexts, ElementsAre(512));
  EXPECT_EQ(small.kld.context, 512);
}

TEST_F(RecipeTest, AlphaIsTheRankAndLengthsAreTheVariants) {
  EXPECT_EQ(LoadWith("steps: 10", "steps: 10\n  rank: 16").train.alpha, 16);
  EXPECT_EQ(LoadWith("steps: 10", "steps: 10\n  rank: 16\n  alpha: 8").train.alpha, 8);
  EXPECT_EQ(LoadWith("base:", "pose: {variant: axolotl}\nbase:").pose.options.lengths,
            PoseOptions::Lengths::kEqual);
  EXPECT_EQ(LoadWith("base:", "pose: {variant: paper}\nbase:").pose.options.lengths,
            PoseOptions::Lengths::kRandom);
  EXPECT_EQ(LoadWith("base:", "pose: {variant: axolotl, lengths: random}\nbase:").pose.options.lengths,
            PoseOptions::Lengths::kRandom);
}

TEST_F(RecipeTest, AFolderMayEndInASlash) {
  EXPECT_EQ(WorkFolder(LoadWith("license: mit", "license: mit, out: x/y/")), folder_ / "x/y.work");
}

TEST_F(RecipeTest, FingerprintsHoldWhatAStageDependsOn) {
  const Recipe before = Load(kLeast);
  const auto changes = [&](std::string_view from, std::string_view to, Stage stage) {
    return Fingerprint(LoadWith(from, to), stage) != Fingerprint(before, stage);
  };
  EXPECT_TRUE(changes("steps: 10", "steps: 11", kTrainStage));
  EXPECT_FALSE(changes("steps: 10", "steps: 11", kPrepareStage));
  EXPECT_TRUE(changes("steps: 10", "steps: 10\n  echo_share: 0.5\n  retrieval_share: 0.5", kTrainStage));
  EXPECT_FALSE(changes("steps: 10", "steps: 10\n  checkpoint_every: 7\n  recompute: false", kTrainStage));
  EXPECT_TRUE(changes("inputs: text", "inputs: text, min_tokens: 5", kPrepareStage));
  EXPECT_TRUE(changes("base:", "eval: {kld: {context: 64}}\nbase:", kCompareStage));
  EXPECT_FALSE(changes("base:", "eval: {kld: {context: 64}}\nbase:", kEvaluateStage));
  EXPECT_TRUE(changes("license: mit", "license: mit, sample: {prompt: Once}", kSampleStage));
  EXPECT_FALSE(changes("license: mit", "license: gpl, power_watts: 5", kMergeStage));
}

// What `longspan train` reads.
class TrainRecipeTest : public RecipeTest {
 protected:
  static constexpr std::string_view kTrain = R"(base:
  model: ../base.gguf
rope:
  scaling: yarn
  factor: 8
data:
  shards: shards
context:
  target: 4_096
  window: 512
pose:
  variant: axolotl
  chunks: 3
  unmodified: 0.1
train:
  pack: true
  adapter: lora
  rank: 16
  targets: [q, down]
  learning_rate: 1e-4
  steps: 20
  schedule: constant
  seed: 9
  out: out
)";
  Recipe LoadTrain(std::string_view text) {
    WriteFile(folder_ / "t.yml", text);
    return LoadRecipe(folder_ / "t.yml", kForTrain);
  }
  Recipe LoadTrainWith(std::string_view from, std::string_view to) {
    std::string text(kTrain);
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return LoadTrain(text.replace(at, from.size(), to));
  }
  void ExpectTrainFault(std::string_view from, std::string_view to, const std::string& message) {
    EXPECT_THAT([&] { LoadTrainWith(from, to); }, ThrowsMessage<Error>(HasSubstr(message)));
  }
};

TEST_F(TrainRecipeTest, ReadsEveryKey) {
  const Recipe r = LoadTrain(kTrain);
  EXPECT_EQ(r.base, folder_ / "../base.gguf");
  EXPECT_EQ(r.data.shards, folder_ / "shards");
  EXPECT_EQ(r.train.out, folder_ / "out");
  EXPECT_EQ(r.rope.scaling, RopeScaling::Kind::kYarn);
  EXPECT_EQ(r.rope.factor, 8);
  EXPECT_EQ(r.context.window, 512);
  EXPECT_TRUE(r.train.pack);
  EXPECT_TRUE(r.pose.enabled);
  EXPECT_EQ(r.pose.options.target_context, 4096);
  EXPECT_EQ(r.pose.options.variant, PoseOptions::Variant::kAxolotl);
  EXPECT_EQ(r.pose.options.chunks, 3);
  EXPECT_EQ(r.pose.options.unmodified_share, 0.1);
  EXPECT_EQ(r.train.adapter, AdapterKind::kLora);
  EXPECT_EQ(r.train.rank, 16);
  EXPECT_THAT(r.train.targets, ElementsAre("q", "down"));
  EXPECT_EQ(r.train.schedule, ScheduleKind::kConstant);
  EXPECT_EQ(r.train.steps, 20);
  EXPECT_EQ(r.train.seed, 9u);
}

TEST_F(TrainRecipeTest, ErrorsNameFileLineAndKey) {
  ExpectTrainFault("  shards: shards\n", "  {}\n", "data.shards: is missing (Folder of tokenised documents");
  ExpectTrainFault("  out: out\n", "", "train.out: is missing");
  ExpectTrainFault("  steps: 20\n", "", "train.steps: expected either steps or epochs");
  ExpectTrainFault("window: 512", "window: 1", "t.yml:10: context.window: expected 2 to 16777216, found 1");
  ExpectTrainFault("  model: ../base.gguf\n", "  {}\n",
                   "t.yml:1: base: give either base.model (a file) or base.new");
  ExpectTrainFault("  target: 4_096\n", "", "t.yml:10: pose: needs context.target");
}

TEST_F(TrainRecipeTest, WithoutATargetPositionsArePlain) {
  const Recipe r = LoadTrain(
      "base: {model: b.gguf}\ndata: {shards: s}\ntrain: {learning_rate: 1e-3, epochs: 2, out: o}\n");
  EXPECT_FALSE(r.pose.enabled);
  EXPECT_EQ(r.context.window, 0);  // the base's own
  EXPECT_EQ(r.train.Steps(10), 20);
}

TEST_F(TrainRecipeTest, NewModelsAreTrainedWhole) {
  constexpr std::string_view kNew = R"(base:
  new: {vocabulary: v.gguf, dim: 64, layers: 2, heads: 4, hidden_dim: 96, context: 128,
        initialization: induction}
data: {shards: s}
train: {learning_rate: 1e-3, steps: 2, out: o}
)";
  const Recipe r = LoadTrain(kNew);
  EXPECT_TRUE(r.base.empty());
  ASSERT_TRUE(r.new_model.has_value());
  EXPECT_EQ(r.new_model->vocabulary, folder_ / "v.gguf");
  EXPECT_EQ(r.new_model->config.kv_heads, 4);
  EXPECT_EQ(r.new_model->config.head_dim, 16);
  EXPECT_EQ(r.new_model->start, NewModelRecipe::Start::kInduction);
  EXPECT_EQ(r.train.adapter, AdapterKind::kFull);
  std::string lora(kNew);
  lora.replace(lora.find("steps: 2"), 8, "steps: 2, adapter: rslora");
  EXPECT_THAT([&] { LoadTrain(lora); },
              ThrowsMessage<Error>(HasSubstr("t.yml:5: train.adapter: a new model is trained whole")));
}

TEST_F(TrainRecipeTest, KeysOfOlderConfigurationsNameTheNewOnes) {
  EXPECT_THAT(
      [&] {
        LoadTrain(R"(model:
  base: base.gguf
  type: F16
data:
  shards: shards
  length: 512
  pack: true
  retrieval_share: 0.5
  echo_share: 0.5
pose:
  target: 4_096
train:
  learning_rate: 1e-4
  steps: 20
out: out
)");
      },
      ThrowsMessage<Error>(
          AllOf(HasSubstr("t.yml:2: these keys have new names: write base.model for model.base (line 2)"),
                HasSubstr("train.type for model.type (line 3)"),
                HasSubstr("context.window for data.length (line 6)"), HasSubstr("train.pack for data.pack"),
                HasSubstr("train.retrieval_share for data.retrieval_share"),
                HasSubstr("train.echo_share for data.echo_share"),
                HasSubstr("context.target for pose.target (line 11)"),
                HasSubstr("train.out for out (line 15)"), Not(HasSubstr("base for model (")))));
  EXPECT_THAT([&] { LoadTrain("model: {new: {initialisation: induction}}\n"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("base.new for model.new"),
                                         HasSubstr("base.new.initialization for model.new.initialisation"))));
}

TEST_F(TrainRecipeTest, ARecipeForExtendTrainsToo) {
  std::string text(kLeast);
  text.replace(text.find("inputs: text"), 12, "inputs: text, shards: s");
  text.replace(text.find("steps: 10"), 9, "steps: 10\n  out: o");
  const Recipe r = LoadTrain(text);
  EXPECT_TRUE(r.pose.enabled);
  EXPECT_THAT(UnusedKeys(r, kForTrain), ElementsAre("release", "data.inputs"));
  EXPECT_THAT(UnusedKeys(Load(text), kForExtend), ElementsAre("data.shards", "train.out"));
}

TEST_F(RecipeTest, OnlyTheInputIsAPattern) {
  const auto odd = folder_ / "a[1]*";
  WriteFile(odd / "x[2].txt", "text");
  WriteFile(odd / "x2.txt", "text");
  std::string text(kLeast);
  const auto resolve = [&](const std::string& input) {
    std::string copy = text;
    WriteFile(odd / "r.yml", copy.replace(copy.find("inputs: text"), 12, "inputs: '" + input + "'"));
    const Recipe recipe = LoadRecipe(odd / "r.yml");
    return ResolveInputs(recipe, recipe.data.inputs);
  };
  EXPECT_THAT(resolve("x[2].txt"), ElementsAre(odd / "x[2].txt"));  // a file of this very name
  EXPECT_THAT(resolve("x?.txt"), ElementsAre(odd / "x2.txt"));
  std::filesystem::create_symlink("nowhere", odd / "dangling.txt");
  EXPECT_THAT([&] { resolve("*.txt"); }, ThrowsMessage<Error>(HasSubstr("r.yml:2: data.inputs: ")));
}

TEST(ShippedRecipes, TheBaseModelsLoad) {
  const std::filesystem::path recipes = std::filesystem::path(LONGSPAN_SOURCE_DIR) / "recipes";
  const Recipe recall = LoadRecipe(recipes / "base-recall.yml", kForTrain),
               books = LoadRecipe(recipes / "base.yml", kForTrain);
  EXPECT_EQ(recall.new_model->start, NewModelRecipe::Start::kInduction);
  EXPECT_EQ(recall.new_model->config.context, 512);
  EXPECT_EQ(books.base, recall.train.out / "model.gguf");
  EXPECT_EQ(books.train.adapter, AdapterKind::kFull);
  EXPECT_FALSE(books.pose.enabled);
}

TEST(ShippedRecipes, Load) {
  const std::filesystem::path folder = std::filesystem::path(LONGSPAN_SOURCE_DIR) / "recipes";
  const Recipe demo = LoadRecipe(folder / "demo.yml");
  EXPECT_EQ(demo.context.target, 4096);
  EXPECT_EQ(demo.train.adapter, AdapterKind::kRsLora);
  const Recipe large = LoadRecipe(folder / "llama3-8b-64k.yml");
  EXPECT_EQ(large.context.target, 65'536);
  EXPECT_EQ(large.train.rank, 256);
  EXPECT_DOUBLE_EQ(large.rope.release_theta.value(), 2e6);
  for (const char* name : {"full-length.yml", "randpos.yml"})
    EXPECT_EQ(LoadRecipe(folder / "results" / name).context.target, 4096) << name;
}

}  // namespace
}  // namespace longspan
