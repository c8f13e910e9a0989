#include "plan/job_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/sanitizers.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "data/prepare.h"
#include "formats/gguf_reader.h"
#include "infer/loaded_model.h"
#include "plan/advice.h"
#include "plan/base_model.h"
#include "quantize/quantize.h"
#include "release/eval_texts.h"
#include "release/evaluate.h"
#include "release/job_paths.h"
#include "release/preparation.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

const std::string kBase = LONGSPAN_SOURCE_DIR "/models/longspan-base.gguf";

class JobPlanTest : public testing::Test {
 protected:
  // The base model of the repository, and its own pages as text.
  JobPlan Plan(const std::string& release = "", const std::string& model = kBase) const {
    WriteFile(
        folder_ / "r.yml",
        fmt::format(
            "base: {{model: {2}}}\n"
            "data: {{inputs: ['{0}/docs/*.md'], min_tokens: 16, validation: 0.5, retention: "
            "['{0}/README.md']}}\n"
            "context: {{target: 1024, window: 256}}\n"
            "train: {{learning_rate: 1e-3, steps: 3, batch_size: 2, gradient_accumulation: 4, rank: 8}}\n"
            "quantize: {{types: [F16, Q4_K_M]}}\n"
            "eval: {{contexts: [512], max_tokens: 1024, passkey: {{lengths: [256], depths: 2}}}}\n"
            "release: {{name: x, license: mit, out: out, power_watts: 36{1}}}\n",
            LONGSPAN_SOURCE_DIR, release, model));
    return PlanJob(LoadRecipe(folder_ / "r.yml"), "auto");
  }
  static const StagePlan& Stage(const JobPlan& plan, std::string_view name) {
    return *std::ranges::find(plan.stages, name, &StagePlan::name);
  }

  TestFolder folder_;
};

TEST_F(JobPlanTest, KnowsEveryStage) {
  const JobPlan plan = Plan();
  std::vector<std::string> names;
  for (const StagePlan& stage : plan.stages) {
    names.push_back(stage.name);
    EXPECT_GT(stage.seconds, 0) << stage.name;
    EXPECT_GT(stage.Memory(), 0) << stage.name;
  }
  EXPECT_THAT(names, ElementsAre("prepare", "train", "merge", "quantize-F16", "quantize-Q4_K_M",
                                 "evaluate-base", "evaluate-result", "compare-F16", "compare-Q4_K_M"));
  EXPECT_EQ(plan.steps, 3);
  EXPECT_EQ(plan.examples, 3 * 2 * 4);
  EXPECT_EQ(Stage(plan, "train").tokens, 3 * 2 * 4 * 256);
  EXPECT_GT(plan.documents, 3);
  EXPECT_EQ(plan.corpus_share, 1);
  EXPECT_TRUE(plan.shortages.empty());
}

// From a Hugging Face folder to one: both conversions take disk and time, as much as they then write.
TEST_F(JobPlanTest, CountsConversions) {
  ConvertGgufToHf(kBase, folder_ / "hf", {.type = "F16"}, NoProgress());
  const JobPlan without = Plan(), with = Plan(", huggingface: true", folder_ / "hf");
  std::vector<std::string> names;
  for (const StagePlan& stage : with.stages) names.push_back(stage.name);
  EXPECT_THAT(
      names, ElementsAre("convert", "prepare", "train", "merge", "quantize-F16", "quantize-Q4_K_M",
                         "evaluate-base", "evaluate-result", "compare-F16", "compare-Q4_K_M", "huggingface"));
  ConvertHfToGguf(folder_ / "hf", folder_ / "hf.gguf", "auto", NoProgress());
  const auto weights = static_cast<double>(fs::file_size(folder_ / "hf/model.safetensors"));
  const auto vocabulary = static_cast<double>(fs::file_size(folder_ / "hf/tokenizer.json"));
  EXPECT_NEAR(static_cast<double>(Stage(with, "convert").disk),
              static_cast<double>(fs::file_size(folder_ / "hf.gguf")), vocabulary);
  EXPECT_NEAR(static_cast<double>(Stage(with, "huggingface").disk), weights, 0.01 * weights);
  for (const char* stage : {"convert", "huggingface"}) {
    EXPECT_GT(Stage(with, stage).seconds, 0);
    EXPECT_GT(Stage(with, stage).Memory(), 0);
  }
  EXPECT_EQ(with.Disk() - Stage(with, "convert").disk - Stage(with, "huggingface").disk, without.Disk());
}

TEST_F(JobPlanTest, WritesNothing) {
  Plan();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename());
  EXPECT_THAT(names, ElementsAre("r.yml"));
}

TEST_F(JobPlanTest, FilesHaveTheSizeOfTheirMix) {
  const JobPlan plan = Plan();
  QuantizeOptions options;
  options.dry_run = true;
  const auto report = QuantizeFile(fs::path(LONGSPAN_SOURCE_DIR) / "models" / "longspan-base.gguf",
                                   folder_ / "x", FindMix("Q4_K_M"), options, NoProgress());
  EXPECT_EQ(Stage(plan, "quantize-Q4_K_M").disk, report.bytes_after);
}

// Rows of 576 are no whole number of 256: some of the real model's matrices get other types than the rest.
TEST_F(JobPlanTest, RowsOfEveryWidthAreTimed) {
  const fs::path model = fs::path(LONGSPAN_SOURCE_DIR) / "build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!fs::exists(model)) GTEST_SKIP() << "scripts/real-model brings the model";
  Plan();
  std::string text = ReadFile(folder_ / "r.yml");
  text.replace(text.find(kBase), kBase.size(), model.string());
  text.replace(text.find("target: 1024"), 12, "target: 16384");
  const std::size_t retention = text.find(", retention");  // it does not fill this target
  text.erase(retention, text.find('}', retention) - retention);
  WriteFile(folder_ / "r.yml", text);
  const JobPlan plan = PlanJob(LoadRecipe(folder_ / "r.yml"), "auto");
  EXPECT_GT(Stage(plan, "quantize-Q4_K_M").disk, 80'000'000);
}

TEST_F(JobPlanTest, EpochsAreSteps) {
  Plan();
  // Documents of one length, so that about half of the text is held out, whichever they are.
  fs::create_directory(folder_ / "texts");
  for (int i = 0; i < 40; ++i) {
    std::string text;
    for (int line = 0; line < 100; ++line) text += fmt::format("Line {} of the document {}.\n", line, i);
    WriteFile(folder_ / "texts" / fmt::format("{}.txt", i), text);
  }
  std::string recipe = ReadFile(folder_ / "r.yml");
  recipe.replace(recipe.find("steps: 3"), 8, "epochs: 8");
  const std::string inputs = LONGSPAN_SOURCE_DIR "/docs/*.md";
  recipe.replace(recipe.find(inputs), inputs.size(), (folder_ / "texts" / "*.txt").string());
  WriteFile(folder_ / "r.yml", recipe);
  const JobPlan plan = PlanJob(LoadRecipe(folder_ / "r.yml"), "auto");
  // An example is 256 tokens of the half that is kept, and a step is as many examples as there are epochs.
  const double examples = static_cast<double>(plan.corpus_tokens) / 2 / 256;
  EXPECT_GT(examples, 10);
  EXPECT_NEAR(static_cast<double>(plan.steps), examples, 0.3 * examples);
}

// Counts what is read of each kind of measurement.
class ReadCounter : public Progress {
 public:
  void Start(std::string_view, std::int64_t total, std::string_view unit) override {
    if (unit == "tokens") tokens += total;
  }
  std::int64_t tokens = 0;
};

// One prompt of a length is read whole, so that the progress counts what is read. (Of several it counts all,
// and those that begin alike are read once.)
TEST_F(JobPlanTest, TokensAreThoseThatAreRead) {
  const fs::path source(LONGSPAN_SOURCE_DIR), model = source / "models/longspan-base.gguf";
  for (const char* eval :
       {"contexts: [512], stride: 200, max_tokens: 1500, passkey: {lengths: [256], depths: 1}, kld: "
        "{context: "
        "200, max_tokens: 999}, by_position: {documents: 2, max_tokens: 700}",
        "contexts: [256, 512], stride: 100, max_tokens: 1001, passkey: {lengths: [200], depths: 1}, kld: "
        "{context: 512}"}) {
    Plan();
    std::string text = ReadFile(folder_ / "r.yml");
    const std::size_t from = text.find("eval: {"), to = text.find('\n', from);
    text.replace(from, to - from, fmt::format("eval: {{{}}}", eval));
    WriteFile(folder_ / "r.yml", text);
    const Recipe recipe = LoadRecipe(folder_ / "r.yml");
    const JobPlan plan = PlanJob(recipe, "auto");

    const BaseModel base = OpenBaseModel(model);
    Prepare(ResolveInputs(recipe, recipe.data.inputs), EncoderOf(*base.tokenizer), PreparationOf(recipe.data),
            folder_ / "shards", NoProgress());
    const auto documents = ReadEvalTexts(folder_ / "shards", EvalTexts::kHeldOut);
    PrepareEvalTexts("data.retention", {source / "README.md"}, {}, EncoderOf(*base.tokenizer),
                     folder_ / "kept", {}, NoProgress());
    ReadCounter evaluation, of_base, comparison;
    const std::vector<std::int64_t> contexts = RetentionContexts(recipe, base.config.context);
    EvalDocuments texts{documents,
                        {{"README.md", ReadEvalTexts(folder_ / "kept", EvalTexts::kAll)}},
                        contexts,
                        contexts.back()};
    Evaluate(model, {}, texts, recipe.eval, "auto", evaluation);
    texts.retention_contexts.resize(1);
    Evaluate(model, {}, texts, recipe.eval, "auto", of_base);
    CompareQuantized(model, "F16", model, documents, {recipe.eval.kld.context, recipe.eval.kld.max_tokens},
                     "auto", comparison);
    EXPECT_EQ(Stage(plan, "evaluate-base").tokens, of_base.tokens);
    EXPECT_EQ(Stage(plan, "evaluate-result").tokens, evaluation.tokens);
    EXPECT_EQ(Stage(plan, "compare-Q4_K_M").tokens, comparison.tokens);
  }
}

TEST_F(JobPlanTest, TextsToBeKeptThatAreTooShortAreKnownToo) {
  Plan();
  std::string text = ReadFile(folder_ / "r.yml");
  const std::string_view kept = "README.md";
  text.replace(text.find(kept), kept.size(), "LICENSE");
  text.replace(text.find("target: 1024"), 12, "target: 65536");
  WriteFile(folder_ / "r.yml", text);
  EXPECT_THAT(ErrorOf([&] { PlanJob(LoadRecipe(folder_ / "r.yml"), "auto"); }),
              ::testing::HasSubstr("r.yml:2: data.retention: the longest document of "));
}

TEST_F(JobPlanTest, TextsThatAreTooShortAreKnownBeforeAnyWork) {
  Plan();
  std::string text = ReadFile(folder_ / "r.yml");
  WriteFile(folder_ / "short.txt", "Too short a text.");
  text.replace(text.find("eval: {"), 7, "eval: {inputs: short.txt, ");
  WriteFile(folder_ / "r.yml", text);
  EXPECT_THAT(ErrorOf([&] { PlanJob(LoadRecipe(folder_ / "r.yml"), "auto"); }),
              testing::HasSubstr("r.yml:6: eval.kld.context: the longest document to measure on has "));
}

TEST_F(JobPlanTest, WhatDoesNotFitIsRefusedByName) {
  JobPlan plan = Plan();
  EXPECT_NO_THROW(RequireFit(plan, "x/recipe.yml"));
  const LoadedModel model(fs::path(LONGSPAN_SOURCE_DIR) / "models/longspan-base.gguf", {}, "auto");
  TrainOptions options;
  options.batch_size = 4;
  options.recompute = false;
  plan.machine.free_disk = 1 << 20;
  plan.shortages = FindShortages(plan, model.config(), options, 256);
  EXPECT_EQ(KindOf([&] { RequireFit(plan, "x/recipe.yml"); }), ErrorKind::kIo);
  EXPECT_THAT(ErrorOf([&] { RequireFit(plan, "x/recipe.yml"); }),
              testing::AllOf(testing::StartsWith("x/recipe.yml: does not fit this machine: disk: needs"),
                             testing::HasSubstr("fewer quantize.types")));
  for (StagePlan& stage : plan.stages) {
    if (stage.name == "train") stage.memory.push_back({"more", std::int64_t{1} << 50});
  }
  plan.shortages = FindShortages(plan, model.config(), options, 256);
  EXPECT_EQ(KindOf([&] { RequireFit(plan, "x/recipe.yml"); }), ErrorKind::kOutOfMemory);
  EXPECT_THAT(ErrorOf([&] { RequireFit(plan, "x/recipe.yml"); }),
              testing::AllOf(testing::HasSubstr("train: needs 1048576."), testing::HasSubstr("disk: needs")));
}

// What extend checks before it begins is what plan says, without the time.
TEST_F(JobPlanTest, TheRestIsWhatHasNotEnded) {
  const JobPlan whole = Plan();
  const Recipe recipe = LoadRecipe(folder_ / "r.yml");
  const JobPlan all = PlanRest(recipe);
  ASSERT_EQ(all.stages.size() + 1, whole.stages.size());
  for (const StagePlan& stage : all.stages) {
    EXPECT_EQ(stage.disk, Stage(whole, stage.name).disk) << stage.name;
    if (kSanitized) continue;  // it keeps what the first plan gave back
    EXPECT_NEAR(static_cast<double>(stage.Memory()), static_cast<double>(Stage(whole, stage.name).Memory()),
                64e6)
        << stage.name;
  }
  EXPECT_TRUE(all.shortages.empty());
  EXPECT_NO_THROW(RequireRestFits(recipe));

  WriteFile(folder_ / "out.work/stages.json",
            R"({"version": 2, "stages": {"train": {"done": {}}, "merge": {"running": {}}}})");
  WriteFile(folder_ / "out.work/scratch/train-1/checkpoint.gguf", std::string(1 << 20, 'x'));
  const JobPlan rest = PlanRest(recipe);
  EXPECT_EQ(rest.stages.size() + 1, all.stages.size());
  EXPECT_EQ(rest.stages.front().name, "merge");
  EXPECT_LT(rest.Disk(), all.Disk());

  WriteFile(folder_ / "out.work/stages.json", R"({"version": 2, "stages": {"release": {"done": {}}}})");
  EXPECT_TRUE(PlanRest(recipe).stages.empty());
  EXPECT_NO_THROW(RequireRestFits(recipe));
}

// Checkpoints are gone before the merged model comes.
TEST(JobPlan, DiskIsTheMostThatIsNeededAtOnce) {
  JobPlan plan;
  const auto add = [&](std::int64_t disk, std::int64_t removed) {
    StagePlan& stage = plan.stages.emplace_back();
    stage.disk = disk;
    stage.removed = removed;
  };
  EXPECT_EQ(plan.Disk(), 0);
  add(100, 90);
  add(20, 0);
  EXPECT_EQ(plan.Disk(), 100);
  add(500, 0);
  EXPECT_EQ(plan.Disk(), 530);
}

TEST_F(JobPlanTest, AFullDiskIsAShortage) {
  JobPlan plan = Plan();
  const LoadedModel model(kBase, {}, "auto");
  for (const auto& [free, shortages] : {std::pair{0, 1u}, {-1, 0u}}) {
    plan.machine.free_disk = free;
    EXPECT_EQ(FindShortages(plan, model.config(), TrainOptions(), 256).size(), shortages);
  }
}

TEST_F(JobPlanTest, JsonHoldsTheSums) {
  const JobPlan plan = Plan();
  const auto json = ToJson(plan);
  EXPECT_EQ(json["stages"].size(), plan.stages.size());
  EXPECT_DOUBLE_EQ(json["seconds"], plan.Seconds());
  EXPECT_DOUBLE_EQ(json["kilowatt_hours"], 36 * plan.Seconds() / 3.6e6);
  EXPECT_EQ(json["memory"], plan.Hungriest().Memory());
}

}  // namespace
}  // namespace longspan
