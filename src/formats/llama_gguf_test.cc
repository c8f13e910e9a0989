#include "formats/llama_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing/shared_data.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_writer.h"
#include "formats/llama2c.h"
#include "model/testing/small_config.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using Kind = RopeScaling::Kind;

LlamaConfig Small(bool tied = true) {
  LlamaConfig c = oracle::SmallConfig();
  c.name = "small";
  c.context = 128;
  c.rope_theta = 500000.0;
  c.tied_embeddings = tied;
  return c;
}

// What a model becomes when saved and loaded again.
ModelFile RoundTrip(const LlamaConfig& config, const Weights& weights, const GgufMetadata& extra = {}) {
  const TestFolder folder;
  const auto path = folder / "model.gguf";
  SaveModel(path, config, weights, extra);
  return LoadModel(path);  // the mapping outlives the folder
}

bool SameBytes(const Tensor& a, const Tensor& b) {
  return a.bytes().size() == b.bytes().size() &&
         std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

TEST(LlamaGguf, RoundTripsConfigAndWeights) {
  for (const bool tied : {true, false}) {
    const LlamaConfig config = Small(tied);
    const Weights weights = RandomWeights(config, 1);
    const ModelFile model = RoundTrip(config, weights);
    EXPECT_EQ(model.config.name, "small");
    EXPECT_EQ(model.config.Parameters(), config.Parameters());
    EXPECT_EQ(model.config.kv_heads, 2);
    EXPECT_EQ(model.config.head_dim, 8);
    EXPECT_EQ(model.config.context, 128);
    EXPECT_EQ(model.config.tied_embeddings, tied);
    EXPECT_FLOAT_EQ(model.config.norm_epsilon, 1e-5f);
    EXPECT_EQ(model.config.rope_theta, 500000.0);
    std::vector<const Tensor*> expected;
    ForEachTensor(weights, tied, [&](WeightId, const Tensor& t) { expected.push_back(&t); });
    std::size_t i = 0;
    ForEachTensor(model.weights, tied, [&](WeightId id, const Tensor& t) {
      EXPECT_TRUE(SameBytes(t, *expected[i++])) << Name(id);
    });
    EXPECT_EQ(model.weights.output.bytes().data() == model.weights.embedding.bytes().data(), tied);
  }
}

TEST(LlamaGguf, RoundTripsQwen2) {
  LlamaConfig config = Small();
  config.architecture = Architecture::kQwen2;
  config.attention_bias = true;
  config.rope_scaling = {.kind = Kind::kYarn, .factor = 4.0, .original_context = 128};
  const Weights weights = RandomWeights(config, 1);
  GgufMetadata extra;
  extra.Set("qwen2.context_length", std::uint32_t{7});
  extra.Set("tokenizer.ggml.pre", "qwen2");
  const ModelFile model = RoundTrip(config, weights, extra);
  EXPECT_EQ(model.config.architecture, Architecture::kQwen2);
  EXPECT_TRUE(model.config.attention_bias);
  EXPECT_EQ(model.config.rope_scaling, config.rope_scaling);
  EXPECT_EQ(model.config.Parameters(), config.Parameters());
  EXPECT_TRUE(SameBytes(model.weights.layers[1].k_bias, weights.layers[1].k_bias));
  EXPECT_EQ(model.file->Get<std::string>("general.architecture"), "qwen2");
  EXPECT_EQ(model.file->Get<int>("qwen2.context_length"), 128);
  EXPECT_EQ(model.file->Get<std::string>("tokenizer.ggml.pre"), "qwen2");
  EXPECT_NE(model.file->FindTensor("blk.1.attn_v.bias"), nullptr);
  for (const auto& [key, value] : model.file->metadata()) EXPECT_FALSE(key.starts_with("llama.")) << key;
}

TEST(LlamaGguf, RoundTripsASlidingWindow) {
  LlamaConfig config = Small();
  EXPECT_FALSE(LlamaMetadata(config, {}, Type::kF32).Contains("llama.attention.sliding_window"));
  config.sliding_window = 4096;
  const ModelFile model = RoundTrip(config, RandomWeights(config, 1));
  EXPECT_EQ(model.config.sliding_window, 4096);
  EXPECT_EQ(model.file->Get<int>("llama.attention.sliding_window"), 4096);
}

TEST(LlamaGguf, RoundTripsRopeScaling) {
  LlamaConfig config = Small();
  const Weights weights = RandomWeights(config, 1);
  config.rope_scaling.kind = Kind::kLinear;
  config.rope_scaling.factor = 4.0;
  EXPECT_EQ(RoundTrip(config, weights).config.rope_scaling, config.rope_scaling);

  config.rope_scaling = {.kind = Kind::kYarn, .factor = 8.0, .original_context = 512};
  EXPECT_EQ(RoundTrip(config, weights).config.rope_scaling, config.rope_scaling);
  config.rope_scaling.beta_fast = 16.0;
  config.rope_scaling.attention_factor = 2.0;
  const RopeScaling yarn = RoundTrip(config, weights).config.rope_scaling;
  EXPECT_EQ(yarn.beta_fast, 16.0);
  EXPECT_NEAR(yarn.attention_factor, 2.0, 1e-6);
}

TEST(LlamaGguf, FoldsNtkIntoTheBase) {
  LlamaConfig config = Small();
  config.rope_theta = 10000.0;
  config.rope_scaling = {.kind = Kind::kNtk, .factor = 8.0};
  const ModelFile model = RoundTrip(config, RandomWeights(config, 1));
  EXPECT_EQ(model.config.rope_scaling.kind, Kind::kNone);
  EXPECT_NEAR(model.config.rope_theta, 160000.0, 0.5);  // 8^(8/6) = 16
}

TEST(LlamaGguf, CarriesLlama3ScalingAsATensor) {
  LlamaConfig config = Small();
  config.head_dim = 64;
  config.rope_scaling = {.kind = Kind::kLlama3, .factor = 8.0, .original_context = 8192};
  const ModelFile model = RoundTrip(config, RandomWeights(config, 1));
  EXPECT_EQ(model.config.rope_scaling.kind, Kind::kNone);
  const auto factors = model.weights.rope_factors.floats();
  ASSERT_EQ(factors.size(), 32u);
  EXPECT_EQ(factors.front(), 1.0f);
  EXPECT_EQ(factors.back(), 8.0f);
  EXPECT_TRUE(std::ranges::is_sorted(factors));
}

TEST(LlamaGguf, KeepsTypesButWritesNormsAsF32) {
  const LlamaConfig config = Small();
  Weights weights = RandomWeights(config, 1);
  const auto to_bf16 = [](Tensor& t) {
    Tensor half = Tensor::Allocate(Type::kBF16, t.shape());
    for (std::int64_t i = 0; i < t.elements(); ++i) {
      std::memcpy(half.mutable_bytes().data() + 2 * i, t.bytes().data() + 4 * i + 2, 2);
    }
    t = half;
  };
  ForEachTensor(weights, true, [&](WeightId, Tensor& t) { to_bf16(t); });
  weights.output = weights.embedding;
  const ModelFile model = RoundTrip(config, weights);
  EXPECT_EQ(model.weights.layers[1].q.type(), Type::kBF16);
  EXPECT_TRUE(SameBytes(model.weights.layers[1].q, weights.layers[1].q));
  EXPECT_EQ(model.weights.layers[1].mlp_norm.type(), Type::kF32);
  EXPECT_EQ(model.weights.layers[1].mlp_norm.floats()[3], 1.0f);
  EXPECT_EQ(FileTypeName(model.file->Get<std::uint32_t>("general.file_type")), "BF16");
}

TEST(LlamaGguf, ExtraMetadataNeverOverrulesTheConfig) {
  const LlamaConfig config = Small();
  GgufMetadata extra;
  extra.Set("general.license", "mit");
  extra.Set("general.file_type", std::uint32_t{15});  // of the file it came from, no longer true
  extra.Set("llama.context_length", std::uint32_t{7});
  extra.Set("llama.rope.scaling.type", "yarn");
  extra.Set("tokenizer.ggml.model", "llama");
  const ModelFile model = RoundTrip(config, RandomWeights(config, 1), extra);
  EXPECT_EQ(model.config.context, 128);
  EXPECT_EQ(model.config.rope_scaling.kind, Kind::kNone);
  EXPECT_EQ(model.file->Get<std::string>("general.license"), "mit");
  EXPECT_EQ(model.file->Get<std::string>("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(model.file->Get<int>("general.file_type"), 0);
}

TEST(LlamaGguf, FileTypeKeepsAMixOfTheSameType) {
  GgufMetadata extra;
  extra.Set("general.file_type", std::uint32_t{14});
  EXPECT_EQ(LlamaMetadata(Small(), extra, Type::kQ4_K).Get<int>("general.file_type"), 14);
  EXPECT_EQ(LlamaMetadata(Small(), {}, Type::kQ4_K).Get<int>("general.file_type"), 15);
  EXPECT_EQ(LlamaMetadata(Small(), extra, Type::kQ8_0).Get<int>("general.file_type"), 7);
}

// The error of loading a small model after `bend` has changed its metadata, with `extra_tensor` and without
// `left_out`.
std::string LoadError(const std::function<void(GgufMetadata&)>& bend, const std::string& extra_tensor = "",
                      const std::string& left_out = "") {
  const TestFolder folder;
  const auto path = folder / "bent.gguf";
  const LlamaConfig config = Small();
  const Weights weights = RandomWeights(config, 1);
  GgufMetadata metadata = LlamaMetadata(config, {}, Type::kF32);
  bend(metadata);
  GgufWriter writer(path, metadata);
  const auto each = [&](auto&& visit) {
    ForEachTensor(weights, true, [&](WeightId id, const Tensor& t) {
      if (GgufName(id) != left_out) visit(GgufName(id), t);
    });
    if (!extra_tensor.empty()) visit(extra_tensor, weights.output_norm);
  };
  each([&](const std::string& name, const Tensor& t) { writer.Declare(name, t.type(), t.shape()); });
  each([&](const std::string& name, const Tensor& t) { writer.Write(name, t.bytes()); });
  writer.Commit();
  std::string message;
  try {
    LoadModel(path);
  } catch (const Error& error) {
    message = error.what();
    EXPECT_THAT(message, HasSubstr(path.string()));
  }
  return message;
}

TEST(LlamaGguf, SaysWhatIsWrongWithAModel) {
  const auto set = [](const char* key, GgufValue value) {
    return [=](GgufMetadata& m) { m.Set(key, value); };
  };
  const auto nothing = [](GgufMetadata&) {};
  EXPECT_EQ(LoadError(nothing), "");
  EXPECT_EQ(LoadError(set("llama.attention.head_count", std::vector<std::int32_t>{4, 4})), "");
  EXPECT_THAT(LoadError(set("llama.attention.head_count", std::vector<std::int32_t>{4, 2})),
              HasSubstr("differs"));
  EXPECT_THAT(LoadError(set("general.architecture", "gemma")),
              HasSubstr("architecture 'gemma', expected llama or qwen2"));
  EXPECT_THAT(LoadError(set("llama.attention.sliding_window", -1)), HasSubstr("sliding window is -1"));
  EXPECT_THAT(LoadError(set("general.type", "adapter")), HasSubstr("adapter"));
  EXPECT_THAT(LoadError(set("llama.expert_count", 8)), HasSubstr("experts"));
  EXPECT_THAT(LoadError(set("llama.block_count", 3)), HasSubstr("blk.2.attn_norm.weight is missing"));
  EXPECT_THAT(LoadError(set("llama.block_count", 4000)), HasSubstr("too few"));
  EXPECT_THAT(LoadError(set("llama.block_count", "two")), HasSubstr("llama.block_count"));
  EXPECT_THAT(LoadError(set("llama.attention.head_count_kv", 3)), HasSubstr("share"));
  EXPECT_THAT(LoadError(set("llama.rope.dimension_count", 4)), HasSubstr("dimension_count"));
  EXPECT_THAT(LoadError(set("llama.rope.scaling.type", "longrope")), HasSubstr("longrope"));
  EXPECT_THAT(LoadError(set("llama.rope.scaling.type", "yarn")), HasSubstr("original_context_length"));
  EXPECT_THAT(LoadError(nothing, "blk.0.attn_q.bias"), HasSubstr("blk.0.attn_k.bias is missing"));
  EXPECT_THAT(LoadError(nothing, "blk.0.attn_output.bias"), HasSubstr("blk.0.attn_output.bias is not part"));
  EXPECT_THAT(LoadError(nothing, "", "blk.1.ffn_up.weight"), HasSubstr("blk.1.ffn_up.weight is missing"));
  EXPECT_THAT(LoadError([](GgufMetadata& m) { m.Set("llama.rope.scaling.attn_factor", 1.25f); }),
              HasSubstr("attn_factor is 1.25 without YaRN"));
  EXPECT_THAT(LoadError([](GgufMetadata& m) { m.Erase("llama.embedding_length"); }),
              HasSubstr("embedding_length"));
}

TEST(LlamaGguf, SurvivesFlippedBytes) {
  const TestFolder folder;
  const auto path = folder / "flip.gguf";
  LlamaConfig config = Small();
  config.rope_scaling = {.kind = Kind::kYarn, .factor = 8.0, .original_context = 512};
  SaveModel(path, config, RandomWeights(config, 1), {});
  const std::string whole = ReadFile(path);
  const auto header = static_cast<std::int64_t>(LoadModel(path).file->tensors().front().offset);
  Random random(4, 0, RandomPurpose::kTest);
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bent = whole;
    bent[random.Below(header)] = static_cast<char>(random.Below(256));
    std::ofstream(path, std::ios::binary) << bent;
    try {
      LoadModel(path).weights.Validate(config, "flipped");
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
    }
  }
}

TEST(LlamaGguf, ReadsTheConfigOfAVocabularyFile) {
  const auto path = SharedData("models/ggml-vocab-llama-bpe.gguf");
  if (!path) GTEST_SKIP() << "shared vocabularies are absent";
  const LlamaConfig config = ReadLlamaConfig(*GgufFile::Open(*path));
  EXPECT_EQ(config.vocab_size, 128256);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.rope_theta, 500000.0);
}

TEST(Llama2c, ConvertsStories) {
  const auto model_path = SharedData("models/stories260K.bin");
  const auto tokenizer_path = SharedData("models/tok512.bin");
  if (!model_path || !tokenizer_path) GTEST_SKIP() << "shared stories260K.bin is absent";
  const TestFolder folder;
  const auto path = folder / "stories.gguf";
  ConvertLlama2c(*model_path, *tokenizer_path, path);
  const ModelFile model = LoadModel(path);
  EXPECT_EQ(model.config.dim, 64);
  EXPECT_EQ(model.config.hidden_dim, 172);
  EXPECT_EQ(model.config.layers, 5);
  EXPECT_EQ(model.config.heads, 8);
  EXPECT_EQ(model.config.kv_heads, 4);
  EXPECT_EQ(model.config.vocab_size, 512);
  EXPECT_EQ(model.config.context, 512);
  EXPECT_TRUE(model.config.tied_embeddings);
  EXPECT_EQ(model.config.name, "stories260K");
  // The first and the last weights of the source, at the places where its layout puts them.
  const std::string source = ReadFile(*model_path);
  EXPECT_EQ(std::memcmp(model.weights.embedding.bytes().data(), source.data() + 28, 64 * 4), 0);
  const std::size_t table = 512 * 8 * 4;  // cosines and sines of 4 pairs
  EXPECT_EQ(
      std::memcmp(model.weights.output_norm.bytes().data(), source.data() + source.size() - table - 256, 256),
      0);

  const auto tokens = model.file->Get<std::span<const std::string_view>>("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), 512u);
  EXPECT_EQ(tokens[1], "<s>");
  EXPECT_EQ(tokens[3], "<0x00>");
  EXPECT_EQ(tokens[258], "<0xFF>");
  for (const std::string_view token : tokens) EXPECT_EQ(token.find(' '), std::string_view::npos);
  EXPECT_TRUE(std::ranges::find(tokens, "\xe2\x96\x81the") != tokens.end());
  const auto types = model.file->Get<std::vector<int>>("tokenizer.ggml.token_type");
  EXPECT_EQ(types[0], 2);
  EXPECT_EQ(types[2], 3);
  EXPECT_EQ(types[258], 6);
  EXPECT_EQ(types[259], 1);
}

TEST(Llama2c, RefusesOtherFiles) {
  const TestFolder folder;
  const auto path = folder / "bad.bin";
  for (const std::string& text :
       {std::string(), std::string(28, '\0'), std::string(28, '\xff'), std::string(4096, '\1'),
        std::string("\x40\0\0\0\x10\0\0\0\1\0\0\0\4\0\0\0\4\0\0\0\0\0\0\x80\4\0\0\0", 28)}) {
    WriteFile(path, text);
    EXPECT_THROW(ReadLlama2c(path), Error);
    EXPECT_THROW(ReadLlama2cTokenizer(path, 1 << 24), Error);
  }
}

}  // namespace
}  // namespace longspan
