#include "convert/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "convert/testing/small_folders.h"
#include "formats/gguf_writer.h"
#include "formats/peft.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing_convert;

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() { SaveTiny(folder_ / "tiny.gguf", TinyConfig(), Type::kF16, Type::kF16); }
  Conversion Find(const char* source, const char* destination, const ConvertOptions& options = {}) {
    return FindConversion(folder_ / source, folder_ / destination, options);
  }
  std::string Refusal(const char* source, const char* destination, const ConvertOptions& options = {}) {
    return ErrorOf([&] { Find(source, destination, options); });
  }
  TestFolder folder_;
};

TEST_F(ConvertTest, FindsOutWhatToDo) {
  fs::create_directory(folder_ / "hf");
  WriteFile(folder_ / "hf" / "config.json", "{}");
  fs::create_directory(folder_ / "peft");
  WriteFile(folder_ / "peft" / "adapter_config.json", "{}");
  fs::create_directory(folder_ / "empty");
  WriteFile(folder_ / "old.bin", "x");
  WriteFile(folder_ / "text.txt", "x");
  GgufMetadata adapter;
  adapter.Set("general.type", "adapter");
  GgufWriter(folder_ / "adapter.gguf", adapter).Commit();
  ConvertOptions split;
  split.split_bytes = 1000;

  EXPECT_EQ(Find("hf", "x.gguf"), Conversion::kHfToGguf);
  EXPECT_EQ(Find("peft", "x.gguf"), Conversion::kPeftToGguf);
  EXPECT_EQ(Find("tiny.gguf", "x"), Conversion::kGgufToHf);
  EXPECT_EQ(Find("adapter.gguf", "x"), Conversion::kGgufToPeft);
  EXPECT_EQ(Find("old.bin", "x.gguf"), Conversion::kLlama2cToGguf);
  EXPECT_EQ(Find("tiny.gguf", "x", split), Conversion::kSplitGguf);

  EXPECT_THAT(Refusal("empty", "x.gguf"), HasSubstr("neither config.json"));
  EXPECT_THAT(Refusal("hf", "x"), HasSubstr("becomes a .gguf file"));
  EXPECT_THAT(Refusal("text.txt", "x.gguf"), HasSubstr("expected a Hugging Face folder"));
  EXPECT_THAT(Refusal("tiny.gguf", "x.gguf"), HasSubstr("one piece already"));
  EXPECT_THAT(Refusal("missing", "x"), HasSubstr("does not exist"));
  EXPECT_THAT(Refusal("hf", "x.gguf", split), HasSubstr("--split-size means nothing"));
  ConvertOptions base;
  base.base = "x";
  EXPECT_THAT(Refusal("hf", "x.gguf", base),
              HasSubstr("--base means nothing for Hugging Face folder -> GGUF"));
}

TEST_F(ConvertTest, SplitsAndJoins) {
  ConvertOptions options;
  options.split_bytes = 20000;
  const ConvertSummary split = Convert(folder_ / "tiny.gguf", folder_ / "shards", options, NoProgress());
  ASSERT_GT(split.files.size(), 2u);
  EXPECT_THAT(split.files.front().filename().string(), ::testing::StartsWith("tiny-00001-of-"));
  // A model runs from its shards as they are.
  const ModelFile model = LoadModel(split.files.front());
  EXPECT_EQ(model.weights.layers.size(), 2u);
  Convert(split.files.front(), folder_ / "joined.gguf", {}, NoProgress());
  EXPECT_EQ(ReadFile(folder_ / "joined.gguf"), ReadFile(folder_ / "tiny.gguf"));
  // It also becomes a Hugging Face folder from them.
  EXPECT_EQ(Convert(split.files.front(), folder_ / "hf", {}, NoProgress()).conversion, Conversion::kGgufToHf);
}

TEST_F(ConvertTest, AdaptersGoBothWays) {
  const LlamaConfig config = TinyConfig();
  LoraAdapter adapter{4, 8.0, true, 0.0, "tiny", {}};
  Tensor a = Tensor::Allocate(Type::kF32, {4, config.dim}),
         b = Tensor::Allocate(Type::kF32, {config.q_dim(), 4});
  for (std::size_t i = 0; i < b.floats().size(); ++i) b.mutable_floats()[i] = static_cast<float>(i);
  adapter.pairs.push_back({{1, Part::kQ}, a, b});
  WritePeft(folder_ / "peft", adapter, config);
  ConvertOptions options;
  EXPECT_THAT(ErrorOf([&] { Convert(folder_ / "peft", folder_ / "a.gguf", {}, NoProgress()); }),
              HasSubstr("--base"));
  options.base = folder_ / "tiny.gguf";
  Convert(folder_ / "peft", folder_ / "a.gguf", options, NoProgress());
  // Readers of GGUF divide alpha by the rank: 8 sqrt(4) / 4 is 8 / sqrt(4).
  EXPECT_EQ(GgufFile::Open(folder_ / "a.gguf")->Get<float>("adapter.lora.alpha"), 16.0f);
  Convert(folder_ / "a.gguf", folder_ / "again", options, NoProgress());
  const LoraAdapter again = ReadPeft(folder_ / "again", config);
  EXPECT_EQ(again.Scale(), adapter.Scale());
  EXPECT_TRUE(std::ranges::equal(again.pairs[0].b.floats(), b.floats()));
  // The base may be a Hugging Face folder too.
  Convert(folder_ / "tiny.gguf", folder_ / "hf", {}, NoProgress());
  options.base = folder_ / "hf";
  Convert(folder_ / "peft", folder_ / "b.gguf", options, NoProgress());
  EXPECT_EQ(ReadFile(folder_ / "a.gguf"), ReadFile(folder_ / "b.gguf"));
}

// GGUF adapters have no place for the base's weights that PEFT saves, so they must be the base's.
TEST_F(ConvertTest, AnAdaptersBaseLayerMustBeTheBases) {
  const LlamaConfig config = TinyConfig();
  LoraAdapter adapter{2, 2.0, false, 0.0, "tiny", {}};
  adapter.pairs.push_back({{-1, Part::kOutput},
                           Tensor::Allocate(Type::kF32, {2, config.dim}),
                           Tensor::Allocate(Type::kF32, {config.vocab_size, 2})});
  WritePeft(folder_ / "peft", adapter, config);
  Convert(folder_ / "tiny.gguf", folder_ / "hf", {}, NoProgress());
  const fs::path path = folder_ / "peft" / "adapter_model.safetensors";
  std::vector<HfTensor> tensors = ReadTensors(path);
  std::vector<HfTensor> base = ReadTensors(folder_ / "hf" / "model.safetensors");
  tensors.push_back(testing_convert::Find(base, "lm_head.weight"));
  tensors.back().name = "base_model.model.lm_head.base_layer.weight";
  WriteTensors(path, tensors);
  ConvertOptions options;
  const auto refusal = [&](const char* name) {
    options.base = folder_ / name;
    return ErrorOf([&] { Convert(folder_ / "peft", folder_ / "a.gguf", options, NoProgress()); });
  };
  for (const char* name : {"tiny.gguf", "hf"}) EXPECT_EQ(refusal(name), "");
  tensors.back().bytes[1] ^= std::byte{0x40};
  WriteTensors(path, tensors);
  for (const char* name : {"tiny.gguf", "hf"}) {
    EXPECT_THAT(refusal(name), HasSubstr("lm_head.base_layer.weight: differs from the base's output"));
  }
}

}  // namespace
}  // namespace longspan
