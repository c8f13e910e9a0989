#include "plan/base_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kBase = fs::path(LONGSPAN_SOURCE_DIR) / "models" / "longspan-base.gguf";

// The same model as a folder, in F16 shards.
class BaseModelTest : public testing::Test {
 protected:
  BaseModelTest() {
    ConvertGgufToHf(kBase, folder_ / "hf", {.type = "F16", .shard_bytes = 4'000'000}, NoProgress());
  }
  TestFolder folder_;
};

TEST_F(BaseModelTest, AFolderIsTheFileThatIsMadeOfIt) {
  ConvertHfToGguf(folder_ / "hf", folder_ / "hf.gguf", "auto", NoProgress());
  const BaseModel folder = OpenBaseModel(folder_ / "hf"), file = OpenBaseModel(folder_ / "hf.gguf");
  EXPECT_TRUE(folder.is_folder);
  EXPECT_FALSE(file.is_folder);
  EXPECT_EQ(folder.bytes, file.bytes);
  ASSERT_EQ(folder.tensors.size(), file.tensors.size());
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    EXPECT_EQ(folder.tensors[i].name, file.tensors[i].name);
    EXPECT_EQ(folder.tensors[i].type, file.tensors[i].type);
    EXPECT_EQ(folder.tensors[i].shape, file.tensors[i].shape);
  }
  EXPECT_EQ(folder.config.Parameters(), file.config.Parameters());
  EXPECT_EQ(folder.config.context, file.config.context);
  EXPECT_EQ(folder.MergedType(), Type::kF16);
  const std::string text = "A folder has the tokenizer of its file.";
  EXPECT_EQ(folder.tokenizer->Encode(text), file.tokenizer->Encode(text));
}

// Its weights are still to be converted, so a part of the model is measured, with weights of the right types.
TEST_F(BaseModelTest, APartOfAFolderCanBeMeasured) {
  const BaseModel folder = OpenBaseModel(folder_ / "hf");
  ASSERT_EQ(std::ssize(folder.weights.layers), folder.measurable_layers);
  EXPECT_LT(folder.measurable_layers, folder.config.layers);
  LlamaConfig part = folder.config;
  part.layers = folder.measurable_layers;
  EXPECT_NO_THROW(folder.weights.Validate(part, "part"));
  EXPECT_EQ(folder.weights.layers[0].q.type(), Type::kF16);
}

TEST_F(BaseModelTest, OtherFoldersAreCalledWhatTheyAre) {
  fs::create_directory(folder_ / "empty");
  EXPECT_THAT(ErrorOf([&] { OpenBaseModel(folder_ / "empty"); }), HasSubstr("found no config.json in it"));
  WriteFile(folder_ / "hf/adapter_config.json", "{}");
  EXPECT_THAT(ErrorOf([&] { OpenBaseModel(folder_ / "hf"); }), HasSubstr("is the folder of an adapter"));
}

}  // namespace
}  // namespace longspan
