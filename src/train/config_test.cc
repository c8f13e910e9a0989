#include "train/config.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "data/testing/byte_encoder.h"

namespace longspan {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kText = R"(model:
  base: ../base.gguf
rope:
  scaling: yarn
  factor: 8
data:
  shards: shards
  length: 512
  pack: true
pose:
  target: 4_096
  variant: axolotl
  chunks: 3
  lengths: equal
  unmodified: 0.1
train:
  adapter: lora
  rank: 16
  targets: [q, down]
  learning_rate: 1e-4
  steps: 20
  schedule: constant
  seed: 9
out: out
)";

std::string With(std::string_view from, std::string_view to) {
  std::string text = kText;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

class TrainConfigTest : public testing::Test {
 protected:
  TrainConfig Load(std::string_view text) {
    WriteFile(folder_ / "train.yml", text);
    return LoadTrainConfig(folder_ / "train.yml");
  }
  std::string ErrorOf(std::string_view text) {
    try {
      Load(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidFile) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  TestFolder folder_;
};

TEST_F(TrainConfigTest, ReadsEveryKey) {
  const TrainConfig c = Load(kText);
  EXPECT_EQ(c.base, (folder_.path().parent_path() / "base.gguf"));
  EXPECT_EQ(c.shards, folder_ / "shards");
  EXPECT_EQ(c.out, folder_ / "out");
  EXPECT_EQ(c.rope.scaling, RopeScaling::Kind::kYarn);
  EXPECT_EQ(c.rope.factor, 8);
  EXPECT_EQ(c.examples.length, 512);
  EXPECT_TRUE(c.examples.pack);
  EXPECT_EQ(c.examples.seed, 9u);
  ASSERT_TRUE(c.examples.pose.has_value());
  EXPECT_EQ(c.examples.pose->target_context, 4096);
  EXPECT_EQ(c.examples.pose->variant, PoseOptions::Variant::kAxolotl);
  EXPECT_EQ(c.examples.pose->chunks, 3);
  EXPECT_EQ(c.examples.pose->lengths, PoseOptions::Lengths::kEqual);
  EXPECT_EQ(c.examples.pose->unmodified_share, 0.1);
  EXPECT_EQ(c.train.adapter, AdapterKind::kLora);
  EXPECT_EQ(c.train.rank, 16);
  EXPECT_EQ(c.train.alpha, 16);  // the rank, unless given
  EXPECT_EQ(c.train.targets, (std::vector<std::string>{"q", "down"}));
  EXPECT_EQ(c.train.schedule, ScheduleKind::kConstant);
  EXPECT_EQ(c.train.steps, 20);
}

TEST_F(TrainConfigTest, ErrorsNameFileLineAndKey) {
  EXPECT_THAT(ErrorOf(With("rank: 16", "rank: many")),
              AllOf(HasSubstr("train.yml:18:"), HasSubstr("train.rank")));
  EXPECT_THAT(ErrorOf(With("rank: 16", "rank: 0")),
              AllOf(HasSubstr("train.yml:18:"), HasSubstr("train.rank")));
  EXPECT_THAT(ErrorOf(With("rank: 16", "ranks: 16")),
              AllOf(HasSubstr("train.yml:18:"), HasSubstr("train.ranks"), HasSubstr("'rank'")));
  EXPECT_THAT(ErrorOf(With("[q, down]", "[q, lm_head]")),
              AllOf(HasSubstr("train.targets"), HasSubstr("lm_head")));
  EXPECT_THAT(ErrorOf(With("adapter: lora", "adapter: dora")),
              AllOf(HasSubstr("train.yml:17:"), HasSubstr("rslora")));
  EXPECT_THAT(ErrorOf(With("schedule: constant", "schedule: linear")), HasSubstr("train.schedule"));
  EXPECT_THAT(ErrorOf(With("variant: axolotl", "variant: best")), HasSubstr("pose.variant"));
  EXPECT_THAT(ErrorOf(With("lengths: equal", "lengths: odd")), HasSubstr("pose.lengths"));
  EXPECT_THAT(ErrorOf(With("  steps: 20\n", "")), HasSubstr("steps"));
  EXPECT_THAT(ErrorOf(With("  target: 4_096\n", "")), HasSubstr("target"));
  EXPECT_THAT(ErrorOf(With("  learning_rate: 1e-4\n", "")), HasSubstr("learning_rate"));
  EXPECT_THAT(ErrorOf(With("out: out\n", "")), HasSubstr("out"));
  EXPECT_THAT(ErrorOf(With("length: 512", "length: 1")), HasSubstr("data.length"));
  EXPECT_THAT(ErrorOf(With("  base: ../base.gguf\n", "  {}\n")), HasSubstr("model.base"));
  EXPECT_THAT(ErrorOf("model: [\n"), HasSubstr("train.yml"));
  EXPECT_THAT(ErrorOf("42\n"), HasSubstr("train.yml"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("train.yml"));
}

TEST_F(TrainConfigTest, AnUnknownScalingIsNamedToo) {
  EXPECT_THAT(ErrorOf(With("scaling: yarn", "scaling: yam")),
              AllOf(HasSubstr("train.yml:4:"), HasSubstr("rope.scaling")));
}

TEST_F(TrainConfigTest, NewModelsAreTrainedWhole) {
  const TrainConfig c = Load(With("  base: ../base.gguf\n", R"(  new:
    vocabulary: vocab.gguf
    dim: 64
    layers: 2
    heads: 4
    hidden_dim: 96
    context: 128
)"));
  EXPECT_TRUE(c.base.empty());
  EXPECT_EQ(c.vocabulary, folder_ / "vocab.gguf");
  EXPECT_EQ(c.new_model.kv_heads, 4);
  EXPECT_EQ(c.new_model.head_dim, 16);
  EXPECT_EQ(c.train.adapter, AdapterKind::kFull);
}

TEST_F(TrainConfigTest, InitialisationHasTwoNames) {
  const auto start = [&](const std::string& name) {
    return Load(With("  base: ../base.gguf\n",
                     "  new: {vocabulary: v.gguf, dim: 64, layers: 2, heads: 4, hidden_dim: 96, "
                     "context: 128, initialisation: " +
                         name + "}\n"));
  };
  EXPECT_TRUE(start("induction").induction);
  EXPECT_FALSE(start("normal").induction);
  EXPECT_THROW(start("zero"), Error);
}

TEST(TrainConfigFile, TheBaseModelsRecipesLoad) {
  const std::filesystem::path recipes = std::filesystem::path(LONGSPAN_SOURCE_DIR) / "recipes";
  const TrainConfig recall = LoadTrainConfig(recipes / "base-recall.yml"),
                    books = LoadTrainConfig(recipes / "base.yml");
  EXPECT_TRUE(recall.induction);
  EXPECT_EQ(recall.new_model.context, 512);
  EXPECT_EQ(books.base, recall.out / "model.gguf");
  EXPECT_EQ(books.train.adapter, AdapterKind::kFull);
}

TEST(TrainOptionNames, ReadAsTheyAreWritten) {
  EXPECT_EQ(Name(AdapterKind::kFull), "full");
  EXPECT_EQ(Name(AdapterKind::kLora), "lora");
  EXPECT_EQ(Name(AdapterKind::kRsLora), "rslora");
  EXPECT_EQ(Name(ScheduleKind::kConstant), "constant");
  EXPECT_EQ(Name(ScheduleKind::kCosine), "cosine");
}

}  // namespace
}  // namespace longspan
