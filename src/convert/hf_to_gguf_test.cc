#include "convert/hf_to_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/cancel.h"
#include "base/testing/temporary_folder.h"
#include "convert/gguf_to_hf.h"
#include "convert/testing/small_folders.h"
#include "quantize/quantize.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace testing_convert;

// A folder of a tiny model that each test spoils in its own way.
class HfToGguf : public ::testing::Test {
 protected:
  void Make(const LlamaConfig& config, Type type = Type::kF32) {
    SaveTiny(folder_ / "tiny.gguf", config, type, type);
    ConvertGgufToHf(folder_ / "tiny.gguf", folder_ / "hf", {}, NoProgress());
  }
  void Edit(const std::function<void(std::vector<HfTensor>&)>& edit) {
    const fs::path path = folder_ / "hf" / "model.safetensors";
    std::vector<HfTensor> tensors = ReadTensors(path);
    edit(tensors);
    WriteTensors(path, tensors);
  }
  void EditConfig(const std::function<void(nlohmann::ordered_json&)>& edit) {
    EditJson(folder_ / "hf" / "config.json", edit);
  }
  std::shared_ptr<const GgufFile> Convert(const std::string& type = "auto") {
    ConvertHfToGguf(folder_ / "hf", folder_ / "out.gguf", type, NoProgress());
    return GgufFile::Open(folder_ / "out.gguf");
  }
  std::string Refusal() {
    std::string error = ErrorOf([&] { Convert(); });
    EXPECT_FALSE(fs::exists(folder_ / "out.gguf"));
    return error;
  }

  TestFolder folder_;
};

// Numbers each row, so that the order of rows can be read off the first column.
void NumberRows(HfTensor& tensor) {
  const std::size_t cols = tensor.shape.size() < 2 ? 1 : static_cast<std::size_t>(tensor.shape[1]);
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t row = i / cols;
    values[i] = static_cast<float>(row);
  }
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
}

std::vector<float> FirstColumn(const GgufFile& file, const char* name) {
  const Tensor tensor = file.LoadTensor(name);
  const std::int64_t rows = tensor.shape().front(), cols = tensor.elements() / rows;
  std::vector<float> column;
  for (std::int64_t i = 0; i < rows; ++i) column.push_back(tensor.floats()[i * cols]);
  return column;
}

TEST_F(HfToGguf, LlamasRowsOfQAndKArePermuted) {
  LlamaConfig c = TinyConfig();
  c.attention_bias = true;
  c.kv_heads = 2;
  Make(c);
  Edit([](auto& tensors) {
    for (const char* name :
         {"q_proj.weight", "k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias"}) {
      NumberRows(Find(tensors, std::string("model.layers.0.self_attn.") + name));
    }
  });
  const auto file = Convert();
  const std::vector<float> k = FirstColumn(*file, "blk.0.attn_k.weight");
  // Two heads of eight rows: rows j and j + 4 become neighbours.
  EXPECT_THAT(k, ElementsAre(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
  EXPECT_EQ(FirstColumn(*file, "blk.0.attn_k.bias"), k);
  const std::vector<float> q = FirstColumn(*file, "blk.0.attn_q.weight");
  EXPECT_EQ(q[24], 24);
  EXPECT_EQ(q[25], 28);
  const std::vector<float> v = FirstColumn(*file, "blk.0.attn_v.weight");
  EXPECT_TRUE(std::ranges::is_sorted(v));
  EXPECT_EQ(FirstColumn(*file, "blk.0.attn_v.bias"), v);
}

TEST_F(HfToGguf, Qwen2sRowsStay) {
  LlamaConfig c = TinyConfig();
  c.architecture = Architecture::kQwen2;
  c.attention_bias = true;
  Make(c);
  Edit([](auto& tensors) {
    for (const char* name : {"q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias"}) {
      NumberRows(Find(tensors, std::string("model.layers.0.self_attn.") + name));
    }
  });
  const auto file = Convert();
  for (const char* name :
       {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_q.bias", "blk.0.attn_k.bias"}) {
    EXPECT_TRUE(std::ranges::is_sorted(FirstColumn(*file, name))) << name;
  }
  EXPECT_EQ(file->Get<std::string>("general.architecture"), "qwen2");
}

TEST_F(HfToGguf, Llama31CarriesItsRopeFactors) {
  LlamaConfig c = TinyConfig();
  c.head_dim = 128;
  c.rope_theta = 500000;
  c.rope_scaling = {RopeScaling::Kind::kLlama3, 8.0, 8192};
  Make(c);
  const Tensor factors = Convert()->LoadTensor("rope_freqs.weight");
  ASSERT_EQ(factors.elements(), 64);
  EXPECT_EQ(factors.floats()[28], 1.0f);
  EXPECT_NEAR(factors.floats()[29], 1.207484f, 1e-5f);
  EXPECT_NEAR(factors.floats()[34], 5.257327f, 1e-5f);
  EXPECT_EQ(factors.floats()[35], 8.0f);
}

TEST_F(HfToGguf, TiedEmbeddingsHaveNoOutput) {
  LlamaConfig c = TinyConfig();
  c.tied_embeddings = true;
  Make(c);
  EXPECT_EQ(Convert()->FindTensor("output.weight"), nullptr);
  // Some checkpoints store the same matrix twice.
  Edit([](auto& tensors) {
    HfTensor head = Find(tensors, "model.embed_tokens.weight");
    head.name = "lm_head.weight";
    tensors.push_back(head);
  });
  EXPECT_EQ(Convert()->FindTensor("output.weight"), nullptr);
  fs::remove(folder_ / "out.gguf");
  Edit([](auto& tensors) { Find(tensors, "lm_head.weight").bytes[0] ^= std::byte{1}; });
  EXPECT_THAT(Refusal(), HasSubstr("tie_word_embeddings"));
  EditConfig([](auto& json) { json["tie_word_embeddings"] = false; });
  EXPECT_NE(Convert()->FindTensor("output.weight"), nullptr);
}

TEST_F(HfToGguf, PaddedVocabularyGetsUnusedTokens) {
  Make(TinyConfig());
  // The folder's tokenizer has 290 tokens, the embedding 300 rows.
  EXPECT_THAT(ReadFile(folder_ / "hf" / "tokenizer.json"), ::testing::Not(HasSubstr("[PAD290]")));
  const auto file = Convert();
  const auto tokens = file->Get<std::span<const std::string_view>>("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), 300u);
  EXPECT_EQ(tokens[299], "[PAD299]");
  EXPECT_EQ(file->Get<std::vector<std::int32_t>>("tokenizer.ggml.token_type")[299], 5);
}

TEST_F(HfToGguf, MoreTokensThanRowsAreRefused) {
  Make(TinyConfig());
  EditConfig([](auto& json) { json["vocab_size"] = 280; });
  EXPECT_THAT(Refusal(), HasSubstr("model.embed_tokens.weight is [300, 32]"));
  Edit([](auto& tensors) {
    for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
      HfTensor& t = Find(tensors, name);
      t.shape[0] = 280;
      t.bytes.resize(t.bytes.size() / 300 * 280);
    }
  });
  EXPECT_THAT(Refusal(), HasSubstr("280"));  // a special token may have been added without its row
}

TEST_F(HfToGguf, OldFrequenciesAreLeftOut) {
  Make(TinyConfig());
  Edit([](auto& tensors) {
    tensors.push_back(
        {"model.layers.0.self_attn.rotary_emb.inv_freq", Type::kF32, {4}, std::vector<std::byte>(16)});
  });
  EXPECT_EQ(Convert()->tensors().size(), GgufFile::Open(folder_ / "tiny.gguf")->tensors().size());
}

TEST_F(HfToGguf, ChangesTypesOnRequest) {
  Make(TinyConfig(), Type::kBF16);
  EXPECT_EQ(Convert("F16")->FindTensor("blk.0.ffn_up.weight")->type, Type::kF16);
  EXPECT_EQ(Convert("auto")->FindTensor("blk.0.ffn_up.weight")->type, Type::kBF16);
  const auto f32 = Convert("F32");
  const Tensor exact = GgufFile::Open(folder_ / "tiny.gguf")->LoadTensor("blk.1.attn_q.weight").ToF32();
  EXPECT_TRUE(std::ranges::equal(f32->FindTensor("blk.1.attn_q.weight")->bytes, exact.bytes()));
  EXPECT_EQ(f32->Get<std::uint32_t>("general.file_type"), 0u);
  EXPECT_THAT(ErrorOf([&] { Convert("Q99"); }), HasSubstr("Q99"));
}

TEST_F(HfToGguf, RefusesWhatDoesNotFit) {
  Make(TinyConfig());
  const std::string good = ReadFile(folder_ / "hf" / "model.safetensors");
  const auto refusal = [&](const std::function<void(std::vector<HfTensor>&)>& edit) {
    WriteFile(folder_ / "hf" / "model.safetensors", good);
    Edit(edit);
    return Refusal();
  };
  EXPECT_THAT(refusal([](auto& t) { t.pop_back(); }), HasSubstr("is missing"));
  EXPECT_THAT(refusal([](auto& t) {
                t.push_back({"extra.weight", Type::kF32, {1}, std::vector<std::byte>(4)});
              }),
              HasSubstr("extra.weight is not part"));
  EXPECT_THAT(refusal([](auto& t) {
                std::swap(Find(t, "lm_head.weight").shape[0], Find(t, "lm_head.weight").shape[1]);
              }),
              HasSubstr("lm_head.weight is [32, 300], config.json says [300, 32]"));
  EXPECT_THAT(refusal([](auto& t) { t.resize(1); }), HasSubstr("too few for 2 layers"));
}

TEST_F(HfToGguf, NoTensorOfNaNsWhereItIsRounded) {
  Make(TinyConfig());
  Edit([](auto& tensors) {
    const float nan = std::nanf("");
    std::memcpy(Find(tensors, "model.layers.1.mlp.up_proj.weight").bytes.data(), &nan, sizeof(nan));
  });
  EXPECT_THAT(ErrorOf([&] { Convert("F16"); }), HasSubstr("model.layers.1.mlp.up_proj.weight"));
  EXPECT_FALSE(fs::exists(folder_ / "out.gguf"));
}

// BF16 reaches further than F16.
TEST_F(HfToGguf, ValuesBeyondF16AreClippedOnlyWhereAsked) {
  Make(TinyConfig(), Type::kBF16);
  Edit([](auto& tensors) {
    const std::uint16_t million = 0x4974;  // 999424
    std::memcpy(Find(tensors, "model.layers.1.mlp.up_proj.weight").bytes.data() + 6, &million,
                sizeof(million));
  });
  const std::string error = ErrorOf([&] { Convert("F16"); });
  EXPECT_THAT(error, HasSubstr("tensor model.layers.1.mlp.up_proj.weight"));
  EXPECT_THAT(error, HasSubstr("1 beyond 65504, the first in row 0, column 3"));
  EXPECT_FALSE(fs::exists(folder_ / "out.gguf"));
  ConvertHfToGguf(folder_ / "hf", folder_ / "clipped.gguf", "F16", NoProgress(), TooLarge::kClip);
  const Tensor clipped = GgufFile::Open(folder_ / "clipped.gguf")->LoadTensor("blk.1.ffn_up.weight").ToF32();
  EXPECT_EQ(clipped.AsRows().at(0, 3), 65504);

  const auto kept = Convert();  // BF16 as it is, and from there to a folder of F16
  EXPECT_EQ(kept->LoadTensor("blk.1.ffn_up.weight").ToF32().AsRows().at(0, 3), 999424);
  EXPECT_THAT(ErrorOf([&] {
                ConvertGgufToHf(folder_ / "out.gguf", folder_ / "half", {.type = "F16"}, NoProgress());
              }),
              HasSubstr("1 beyond 65504"));
  EXPECT_FALSE(fs::exists(folder_ / "half"));
  ConvertGgufToHf(folder_ / "out.gguf", folder_ / "half", {.type = "F16", .too_large = TooLarge::kClip},
                  NoProgress());
}

// What is known before the conversion is what it then writes.
TEST_F(HfToGguf, IsKnownBeforeItIsDone) {
  LlamaConfig c = TinyConfig();
  c.rope_scaling.kind = RopeScaling::Kind::kYarn;
  c.rope_scaling.factor = 4;
  c.rope_scaling.original_context = c.context / 4;
  Make(c, Type::kBF16);
  WriteFile(folder_ / "hf/README.md", "---\nlicense: mit\n---\n");
  for (const bool llama3 : {false, true}) {
    if (llama3) {
      EditConfig([](auto& json) {
        json["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 8192}};
      });
    }
    for (const std::string type : {"auto", "Q8_0"}) {
      const HfModel model = ReadHfModel(folder_ / "hf", type);
      const auto file = Convert(type);
      const std::vector<TensorInfo> written = TensorInfos(*file);
      ASSERT_EQ(model.tensors.size(), written.size());
      for (std::size_t i = 0; i < written.size(); ++i) {
        EXPECT_EQ(model.tensors[i].name, written[i].name);
        EXPECT_EQ(model.tensors[i].type, written[i].type);
        EXPECT_EQ(model.tensors[i].shape, written[i].shape);
      }
      for (const auto& [key, value] : file->metadata()) {
        const GgufValue* found = model.metadata.FindValue(key);
        EXPECT_TRUE(found != nullptr && *found == value) << key;
      }
      EXPECT_EQ(model.config.context, c.context);
    }
  }
}

TEST_F(HfToGguf, SurvivesFlippedBytes) {
  LlamaConfig c = TinyConfig();
  c.layers = 1;
  Make(c, Type::kF16);
  ConvertGgufToHf(folder_ / "tiny.gguf", folder_ / "sharded", {"auto", 20000}, NoProgress());
  Random random(5, 0, RandomPurpose::kTest);
  // Of the weights only the header is changed, because values may be anything.
  for (const auto& [folder, name] :
       {std::pair("hf", "config.json"), std::pair("hf", "generation_config.json"),
        std::pair("hf", "model.safetensors"), std::pair("hf", "README.md"),
        std::pair("sharded", "model.safetensors.index.json")}) {
    const fs::path path = folder_ / folder / name;
    const std::string good = ReadFile(path);
    const auto size = static_cast<std::int64_t>(std::min<std::size_t>(good.size(), 1200));
    for (int trial = 0; trial < 60; ++trial) {
      std::string bent = good;
      const auto at = static_cast<std::size_t>(random.Below(size));
      if (trial % 3 == 0)
        bent.resize(at);
      else
        bent[at] = static_cast<char>(trial % 3 == 1 ? random.Below(256) : '0' + random.Below(10));
      WriteFile(path, bent);
      try {
        ConvertHfToGguf(folder_ / folder, folder_ / "out.gguf", "auto", NoProgress());
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
    }
    WriteFile(path, good);
  }
}

// Asks for a stop when half is written.
struct Interruption : Progress {
  void Update(std::int64_t, std::string_view note) override {
    if (note.find("1.") != std::string_view::npos) RequestCancel();
  }
};

TEST_F(HfToGguf, InterruptedItLeavesNothing) {
  Make(TinyConfig());
  Interruption interruption;
  EXPECT_THROW(ConvertHfToGguf(folder_ / "hf", folder_ / "out.gguf", "auto", interruption), Error);
  ClearCancel();
  EXPECT_THROW(ConvertGgufToHf(folder_ / "tiny.gguf", folder_ / "out", {}, interruption), Error);
  ClearCancel();
  // tiny.gguf and hf, and nothing else.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 2);
}

}  // namespace
}  // namespace longspan
