#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_to_gguf.h"
#include "convert/testing/small_folders.h"
#include "encode/reencode.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace testing_convert;

struct Model {
  const char* name;
  LlamaConfig config;
  const char* class_name;
};

std::vector<Model> Models() {
  std::vector<Model> models;
  const auto add = [&](const char* name, const char* class_name, auto&& edit) {
    LlamaConfig c = TinyConfig();
    edit(c);
    models.push_back({name, c, class_name});
  };
  add("llama", "LlamaForCausalLM", [](LlamaConfig&) {});
  add("tied", "LlamaForCausalLM", [](LlamaConfig& c) { c.tied_embeddings = true; });
  add("bias", "LlamaForCausalLM", [](LlamaConfig& c) { c.attention_bias = true; });
  add("wide_heads", "LlamaForCausalLM", [](LlamaConfig& c) { c.head_dim = 12; });
  add("linear", "LlamaForCausalLM", [](LlamaConfig& c) {
    c.rope_scaling.kind = RopeScaling::Kind::kLinear;
    c.rope_scaling.factor = 4;
  });
  add("yarn", "LlamaForCausalLM", [](LlamaConfig& c) {
    c.rope_scaling = {RopeScaling::Kind::kYarn, 4.0, 64};
    c.rope_scaling.attention_factor = 1.5;
  });
  add("llama3", "LlamaForCausalLM", [](LlamaConfig& c) {
    c.head_dim = 64;
    c.rope_theta = 500000;
    c.rope_scaling = {RopeScaling::Kind::kLlama3, 8.0, 8192};
  });
  add("mistral", "MistralForCausalLM", [](LlamaConfig& c) { c.sliding_window = 64; });
  add("qwen2", "Qwen2ForCausalLM", [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.attention_bias = true;
    c.norm_epsilon = 1e-6;
    c.rope_theta = 1e6;
  });
  add("qwen2_window", "Qwen2ForCausalLM", [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.attention_bias = true;
    c.sliding_window = 64;
  });
  return models;
}

void ExpectSameGguf(const fs::path& a, const fs::path& b) {
  const auto x = GgufFile::Open(a), y = GgufFile::Open(b);
  ASSERT_EQ(x->tensors().size(), y->tensors().size());
  for (const GgufTensor& tensor : x->tensors()) {
    const GgufTensor* other = y->FindTensor(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(tensor.type, other->type) << tensor.name;
    EXPECT_EQ(tensor.shape, other->shape) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, other->bytes)) << tensor.name;
  }
  for (const auto& [key, value] : x->metadata()) {
    const GgufValue* other = y->metadata().FindValue(key);
    ASSERT_NE(other, nullptr) << key;
    EXPECT_EQ(value, *other) << key << ": " << Summary(value) << " and " << Summary(*other);
  }
  EXPECT_EQ(x->metadata().size(), y->metadata().size());
}

void ExpectSameFolder(const fs::path& a, const fs::path& b) {
  for (const fs::directory_entry& entry : fs::directory_iterator(a)) {
    const fs::path name = entry.path().filename();
    if (name == "README.md") continue;  // names the file it was made from
    EXPECT_EQ(ReadFile(entry.path()), ReadFile(b / name)) << name;
  }
}

class ThereAndBack : public ::testing::TestWithParam<std::tuple<Model, Type>> {};

TEST_P(ThereAndBack, IsBitExact) {
  const auto& [model, type] = GetParam();
  const TestFolder folder;
  SaveTiny(folder / "tiny.gguf", model.config, type, type);
  ConvertGgufToHf(folder / "tiny.gguf", folder / "tiny", {}, NoProgress());
  EXPECT_EQ(ReadJson(folder / "tiny" / "config.json")["architectures"][0], model.class_name);
  // Every tensor has the one type, as in a checkpoint.
  for (const HfTensor& t : ReadTensors(folder / "tiny" / "model.safetensors"))
    EXPECT_EQ(t.type, type) << t.name;

  ConvertHfToGguf(folder / "tiny", folder / "again.gguf", "auto", NoProgress());
  ExpectSameGguf(folder / "tiny.gguf", folder / "again.gguf");
  ConvertGgufToHf(folder / "again.gguf", folder / "again", {}, NoProgress());
  ExpectSameFolder(folder / "tiny", folder / "again");
}

INSTANTIATE_TEST_SUITE_P(Models, ThereAndBack,
                         ::testing::Combine(::testing::ValuesIn(Models()),
                                            ::testing::Values(Type::kF32, Type::kF16, Type::kBF16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_" +
                                  std::string(Traits(std::get<1>(info.param)).name);
                         });

TEST(GgufToHf, VectorsStayF32WhereTheyWouldLose) {
  const TestFolder folder;
  SaveTiny(folder / "tiny.gguf", TinyConfig(), Type::kF16, Type::kF32);
  ConvertGgufToHf(folder / "tiny.gguf", folder / "hf", {}, NoProgress());
  std::vector<HfTensor> tensors = ReadTensors(folder / "hf" / "model.safetensors");
  EXPECT_EQ(Find(tensors, "model.norm.weight").type, Type::kF32);
  EXPECT_EQ(Find(tensors, "lm_head.weight").type, Type::kF16);
  ConvertHfToGguf(folder / "hf", folder / "again.gguf", "auto", NoProgress());
  const auto a = GgufFile::Open(folder / "tiny.gguf"), b = GgufFile::Open(folder / "again.gguf");
  EXPECT_TRUE(std::ranges::equal(a->FindTensor("output_norm.weight")->bytes,
                                 b->FindTensor("output_norm.weight")->bytes));
}

TEST(GgufToHf, ShardsHaveAnIndex) {
  const TestFolder folder;
  SaveTiny(folder / "tiny.gguf", TinyConfig(), Type::kF16, Type::kF16);
  ConvertGgufToHf(folder / "tiny.gguf", folder / "hf", {"auto", 30000}, NoProgress());
  const auto index = ReadJson(folder / "hf" / "model.safetensors.index.json");
  EXPECT_FALSE(fs::exists(folder / "hf" / "model.safetensors"));
  const std::string first = index["weight_map"]["model.embed_tokens.weight"];
  EXPECT_THAT(first, ::testing::MatchesRegex("model-00001-of-0000.\\.safetensors"));
  std::int64_t bytes = 0;
  for (const fs::directory_entry& e : fs::directory_iterator(folder / "hf")) {
    if (e.path().extension() != ".safetensors") continue;
    std::int64_t shard = 0;
    for (const HfTensor& t : ReadTensors(e.path())) shard += std::ssize(t.bytes);
    EXPECT_LE(shard, 30000);
    bytes += shard;
  }
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  ConvertHfToGguf(folder / "hf", folder / "again.gguf", "auto", NoProgress());
  const auto a = GgufFile::Open(folder / "tiny.gguf"), b = GgufFile::Open(folder / "again.gguf");
  for (const GgufTensor& t : a->tensors())
    EXPECT_TRUE(std::ranges::equal(t.bytes, b->FindTensor(t.name)->bytes)) << t.name;
}

TEST(GgufToHf, QuantisedWeightsAreDecodedOnRequest) {
  const TestFolder folder;
  SaveTiny(folder / "tiny.gguf", TinyConfig(), Type::kF32, Type::kF32);
  ConvertGgufToHf(folder / "tiny.gguf", folder / "hf", {}, NoProgress());
  ConvertHfToGguf(folder / "hf", folder / "q8.gguf", "Q8_0", NoProgress());
  const auto q8 = GgufFile::Open(folder / "q8.gguf");
  EXPECT_EQ(q8->FindTensor("blk.0.attn_q.weight")->type, Type::kQ8_0);
  EXPECT_EQ(q8->FindTensor("blk.0.attn_norm.weight")->type, Type::kF32);
  EXPECT_EQ(q8->Get<std::uint32_t>("general.file_type"), 7u);
  EXPECT_THAT(ErrorOf([&] { ConvertGgufToHf(folder / "q8.gguf", folder / "no", {}, NoProgress()); }),
              HasSubstr("--type F16 or BF16"));
  EXPECT_FALSE(fs::exists(folder / "no"));
  EXPECT_THAT(ErrorOf([&] { ConvertGgufToHf(folder / "q8.gguf", folder / "no", {"Q4_0"}, NoProgress()); }),
              HasSubstr("F32, F16 or BF16"));
  ConvertGgufToHf(folder / "q8.gguf", folder / "f16", {"F16"}, NoProgress());
  EXPECT_EQ(ReadJson(folder / "f16" / "config.json")["torch_dtype"], "float16");
  // Decoded values are those of the file: converting them back to Q8_0 gives it again.
  ConvertHfToGguf(folder / "f16", folder / "again.gguf", "F16", NoProgress());
  const Tensor decoded = q8->LoadTensor("blk.0.attn_q.weight").ToFloat(Type::kF16);
  EXPECT_TRUE(std::ranges::equal(
      decoded.bytes(), GgufFile::Open(folder / "again.gguf")->FindTensor("blk.0.attn_q.weight")->bytes));
}

// A merged model: most of it floats, and quantised what no adapter touched.
TEST(GgufToHf, WhatIsQuantisedCanBeDecodedAndTheRestStays) {
  const TestFolder folder;
  const LlamaConfig config = TinyConfig();
  Weights weights = TinyWeights(config, Type::kBF16, Type::kBF16);
  const Tensor up = weights.layers[0].up.ToF32();
  weights.layers[0].up = Tensor::Allocate(Type::kQ8_0, up.shape());
  [[maybe_unused]] const EncodingError error = Reencode(
      up.type(), up.bytes(), Type::kQ8_0, weights.layers[0].up.mutable_bytes(), up.rows(), up.cols());
  SaveModel(folder / "merged.gguf", config, weights, TinyMetadata(config.vocab_size));
  ConvertGgufToHf(folder / "merged.gguf", folder / "hf", {.decode = true}, NoProgress());
  EXPECT_EQ(ReadJson(folder / "hf" / "config.json")["torch_dtype"], "bfloat16");
  std::vector<HfTensor> tensors = ReadTensors(folder / "hf" / "model.safetensors");
  for (const HfTensor& t : tensors) EXPECT_EQ(t.type, Type::kBF16) << t.name;
  const Tensor decoded = weights.layers[0].up.ToFloat(Type::kBF16);
  EXPECT_TRUE(std::ranges::equal(Find(tensors, "model.layers.0.mlp.up_proj.weight").bytes, decoded.bytes()));
  EXPECT_THAT(ErrorOf([&] { ConvertGgufToHf(folder / "merged.gguf", folder / "no", {}, NoProgress()); }),
              HasSubstr("blk.0.ffn_up.weight is Q8_0"));
}

TEST(GgufToHf, SaysBeforeThereIsAModelWhatAFolderHasNoWordFor) {
  LlamaConfig config = TinyConfig();
  const GgufMetadata metadata = TinyMetadata(config.vocab_size);
  EXPECT_NO_THROW(CheckGgufToHf(config, {}, metadata));
  config.rope_scaling.kind = RopeScaling::Kind::kNtk;
  config.rope_scaling.factor = 4;
  EXPECT_THAT(ErrorOf([&] { CheckGgufToHf(config, {}, metadata); }), HasSubstr("cannot express ntk scaling"));
  config.rope_scaling = {};
  Tensor divisors = Tensor::Allocate(Type::kF32, {config.head_dim / 2});
  std::ranges::fill(divisors.mutable_floats(), 3.0f);
  EXPECT_THAT(ErrorOf([&] { CheckGgufToHf(config, divisors, metadata); }),
              HasSubstr("is not llama3 scaling"));
}

TEST(GgufToHf, BiasedLlamaGetsTheZeroBiasThatTransformersExpects) {
  const TestFolder folder;
  LlamaConfig c = TinyConfig();
  c.attention_bias = true;
  SaveTiny(folder / "tiny.gguf", c, Type::kF32, Type::kF32);
  ConvertGgufToHf(folder / "tiny.gguf", folder / "hf", {}, NoProgress());
  std::vector<HfTensor> tensors = ReadTensors(folder / "hf" / "model.safetensors");
  HfTensor& bias = Find(tensors, "model.layers.1.self_attn.o_proj.bias");
  EXPECT_TRUE(std::ranges::all_of(bias.bytes, [](std::byte b) { return b == std::byte{0}; }));
  bias.bytes[2] = std::byte{1};  // now it has what GGUF cannot express
  WriteTensors(folder / "hf" / "model.safetensors", tensors);
  EXPECT_THAT(ErrorOf([&] { ConvertHfToGguf(folder / "hf", folder / "x.gguf", "auto", NoProgress()); }),
              HasSubstr("o_proj.bias"));
}

}  // namespace
}  // namespace longspan
