#include "convert/hf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/testing/temporary_folder.h"
#include "convert/testing/small_folders.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing_convert;

HfTensor One(const char* name) { return {name, Type::kF32, {1}, std::vector<std::byte>(4)}; }

// Two shards, with tensor a in the first and b in the second.
class HfCheckpointTest : public ::testing::Test {
 protected:
  HfCheckpointTest() {
    WriteTensors(folder_ / kFirst, {One("a")});
    WriteTensors(folder_ / kSecond, {One("b")});
    Index({{"a", kFirst}, {"b", kSecond}});
  }
  void Index(const nlohmann::json& map) {
    WriteFile(folder_ / "model.safetensors.index.json",
              nlohmann::json{{"metadata", {}}, {"weight_map", map}}.dump());
  }
  std::string Refusal() {
    return ErrorOf([&] { HfCheckpoint::Open(folder_.path()); });
  }
  static constexpr const char* kFirst = "model-00001-of-00002.safetensors";
  static constexpr const char* kSecond = "model-00002-of-00002.safetensors";
  TestFolder folder_;
};

TEST_F(HfCheckpointTest, FindsTensorsInTheirShards) {
  const HfCheckpoint checkpoint = HfCheckpoint::Open(folder_.path());
  EXPECT_EQ(checkpoint.size(), 2u);
  EXPECT_EQ(checkpoint.Find("b")->bytes.size(), 4u);
  EXPECT_EQ(checkpoint.Find("c"), nullptr);
}

TEST_F(HfCheckpointTest, TheIndexMustBeRight) {
  Index({{"a", kFirst}});
  EXPECT_EQ(Refusal(), "");  // a shard that is not in the index is ignored
  Index({{"a", kFirst}, {"b", kSecond}, {"c", kSecond}});
  EXPECT_THAT(Refusal(), HasSubstr("tensor c is not in"));
  Index({{"a", kSecond}, {"b", kFirst}});
  EXPECT_THAT(Refusal(), HasSubstr("not where the index says"));
  Index({{"b", kSecond}, {"a", "model-00003-of-00003.safetensors"}});
  EXPECT_THAT(Refusal(), HasSubstr("shard model-00003-of-00003.safetensors is missing"));
  Index({{"a", 3}});
  EXPECT_THAT(Refusal(), HasSubstr("the shard of a is 3"));
  WriteFile(folder_ / "model.safetensors.index.json", "{}");
  EXPECT_THAT(Refusal(), HasSubstr("weight_map"));
  WriteFile(folder_ / "model.safetensors.index.json", "[]");
  EXPECT_THAT(Refusal(), HasSubstr("not a JSON object"));
}

TEST_F(HfCheckpointTest, TheIndexStaysInItsFolder) {
  fs::create_directory(folder_ / "sub");
  WriteTensors(folder_ / "sub" / "x.safetensors", {One("a")});
  for (const char* name : {"sub/x.safetensors", "../x.safetensors", "/etc/x.safetensors", "..\\x.safetensors",
                           "", "..", "config.json"}) {
    Index({{"a", name}});
    EXPECT_THAT(Refusal(), HasSubstr("not the name of a .safetensors file")) << name;
  }
}

TEST_F(HfCheckpointTest, ATensorIsInOneShard) {
  WriteTensors(folder_ / kSecond, {One("a"), One("b")});
  EXPECT_THAT(Refusal(), HasSubstr("earlier shard"));
}

TEST_F(HfCheckpointTest, OneFileGoesFirst) {
  WriteTensors(folder_ / "model.safetensors", {One("c")});
  EXPECT_NE(HfCheckpoint::Open(folder_.path()).Find("c"), nullptr);
}

TEST_F(HfCheckpointTest, TensorsHaveElements) {
  WriteTensors(folder_ / kSecond, {{"b", Type::kF32, {0}, {}}});
  EXPECT_THAT(Refusal(), HasSubstr("tensors are empty"));
}

// Each tensor once searched all that were in the index before it.
TEST_F(HfCheckpointTest, AnIndexOfManyTensorsIsWrittenAndReadInLinearTime) {
  constexpr int kTensors = 100000;
  std::vector<HfCheckpointWriter::Plan> plan;
  for (int i = 0; i < kTensors; ++i)
    plan.push_back({fmt::format("model.layers.{}.self_attn.q_proj.weight", i), Type::kF32, {1}});
  const auto begin = std::chrono::steady_clock::now();
  HfCheckpointWriter writer(folder_ / "many", plan, 3 * kTensors);
  const std::vector<std::byte> one(4);
  for (const auto& tensor : plan) writer.Append(tensor.name, one);
  writer.Commit();
  const HfCheckpoint checkpoint = HfCheckpoint::Open(folder_ / "many");
  EXPECT_EQ(checkpoint.size(), std::size_t{kTensors});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  const auto index = nlohmann::json::parse(ReadFile(folder_ / "many" / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 4 * kTensors);
  EXPECT_EQ(index["weight_map"][plan.front().name], "model-00001-of-00002.safetensors");
  EXPECT_EQ(index["weight_map"][plan.back().name], "model-00002-of-00002.safetensors");
}

TEST_F(HfCheckpointTest, PicklesAreRefusedWithAReason) {
  fs::remove(folder_ / "model.safetensors.index.json");
  EXPECT_THAT(Refusal(), HasSubstr("neither model.safetensors nor"));
  WriteFile(folder_ / "pytorch_model.bin", "x");
  EXPECT_THAT(Refusal(), HasSubstr("save as safetensors first"));
}

}  // namespace
}  // namespace longspan
