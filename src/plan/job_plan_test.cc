#include "plan/job_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "formats/gguf_reader.h"
#include "quantize/quantize.h"

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
            "data: {{inputs: ['{0}/docs/*.md'], min_tokens: 16, validation: 0.5}}\n"
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
  EXPECT_TRUE(plan.advice.empty());
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
  WriteFile(folder_ / "r.yml", text);
  const JobPlan plan = PlanJob(LoadRecipe(folder_ / "r.yml"), "auto");
  EXPECT_GT(Stage(plan, "quantize-Q4_K_M").disk, 80'000'000);
}

TEST_F(JobPlanTest, EpochsAreSteps) {
  const JobPlan plan = Plan();
  // Half of the text is held out; an example is 256 tokens of it.
  const double examples = static_cast<double>(plan.corpus_tokens) / 2 / 256;
  WriteFile(folder_ / "r.yml", [&] {
    std::string text = ReadFile(folder_ / "r.yml");
    return text.replace(text.find("steps: 3"), 8, "epochs: 8");
  }());
  const JobPlan epochs = PlanJob(LoadRecipe(folder_ / "r.yml"), "auto");
  EXPECT_NEAR(static_cast<double>(epochs.steps), examples, 0.3 * examples);
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
