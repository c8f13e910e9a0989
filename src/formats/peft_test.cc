#include "formats/peft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "model/testing/small_config.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

LlamaConfig Small() {
  LlamaConfig c = oracle::SmallConfig();
  c.layers = 12;
  return c;
}

Tensor Noise(std::int64_t rows, std::int64_t cols, std::uint64_t step) {
  Tensor t = Tensor::Allocate(Type::kF32, {rows, cols});
  Random random(3, step, RandomPurpose::kTest);
  for (float& x : t.mutable_floats()) x = random.Normal();
  return t;
}

LoraAdapter Sample() {
  LoraAdapter adapter{16, 16.0, true, 0.1, "meta-llama/Meta-Llama-3-8B", {}};
  adapter.pairs.push_back({{2, Part::kQ}, Noise(16, 24, 0), Noise(32, 16, 1)});
  adapter.pairs.push_back({{2, Part::kO}, Noise(16, 32, 2), Noise(24, 16, 3)});
  adapter.pairs.push_back({{10, Part::kK}, Noise(16, 24, 4), Noise(16, 16, 5)});
  adapter.pairs.push_back({{10, Part::kDown}, Noise(16, 40, 6), Noise(24, 16, 7)});
  return adapter;
}

void ExpectSamePairs(const LoraAdapter& a, const LoraAdapter& b) {
  ASSERT_EQ(a.pairs.size(), b.pairs.size());
  for (std::size_t i = 0; i < a.pairs.size(); ++i) {
    EXPECT_EQ(a.pairs[i].target, b.pairs[i].target);
    EXPECT_THAT(a.pairs[i].a.floats(), ::testing::ElementsAreArray(b.pairs[i].a.floats()));
    EXPECT_THAT(a.pairs[i].b.floats(), ::testing::ElementsAreArray(b.pairs[i].b.floats()));
  }
}

TEST(Peft, RoundTripsAFolder) {
  const TestFolder folder;
  const LoraAdapter adapter = Sample();
  EXPECT_EQ(adapter.Scale(), 4.0);
  WritePeft(folder.path(), adapter, Small());
  const LoraAdapter read = ReadPeft(folder.path(), Small());
  EXPECT_EQ(read.rank, 16);
  EXPECT_EQ(read.alpha, 16.0);
  EXPECT_TRUE(read.rslora);
  EXPECT_EQ(read.dropout, 0.1);
  EXPECT_EQ(read.base_model, adapter.base_model);
  ExpectSamePairs(read, adapter);
  EXPECT_THAT(ReadPeftConfig(folder.path()).target_modules,
              ElementsAre("down_proj", "k_proj", "o_proj", "q_proj"));
}

TEST(Peft, FolderHasTheNamesAndRowsOfHuggingFace) {
  const TestFolder folder;
  const LoraAdapter adapter = Sample();
  WritePeft(folder.path(), adapter, Small());
  const auto file = SafetensorsFile::Open(folder / "adapter_model.safetensors");
  const Tensor b = file->LoadTensor("base_model.model.model.layers.2.self_attn.q_proj.lora_B.weight");
  ASSERT_FALSE(b.empty());
  // Row 1 of a half-split head of 8 is the first of pair 1, row 5 the second: rows 2 and 3 when interleaved.
  const Tensor& ours = adapter.pairs[0].b;
  EXPECT_EQ(std::memcmp(b.row(1).data(), ours.row(2).data(), ours.row(2).size()), 0);
  EXPECT_EQ(std::memcmp(b.row(5).data(), ours.row(3).data(), ours.row(3).size()), 0);
  EXPECT_FALSE(file->LoadTensor("base_model.model.model.layers.10.mlp.down_proj.lora_A.weight").empty());
}

std::set<std::string> Names(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

// A configuration that cannot be replaced must not end up beside new weights.
TEST(Peft, WeightsAndConfigurationChangeTogether) {
  const TestFolder folder;
  LoraAdapter first = Sample();
  first.pairs.pop_back();
  WritePeft(folder / "adapter", first, Small());
  EXPECT_THAT(Names(folder.path()), ElementsAre("adapter"));
  const std::string weights = ReadFile(folder / "adapter/adapter_model.safetensors");
  std::filesystem::remove(folder / "adapter/adapter_config.json");
  std::filesystem::create_directories(folder / "adapter/adapter_config.json/in-the-way");
  EXPECT_THROW(WritePeft(folder / "adapter", Sample(), Small()), Error);
  EXPECT_EQ(ReadFile(folder / "adapter/adapter_model.safetensors"), weights);
  EXPECT_EQ(Names(folder / "adapter").size(), 2u);
}

TEST(Peft, ReplacesAnAdapterAndNothingElse) {
  const TestFolder folder;
  LoraAdapter first = Sample();
  first.pairs.pop_back();
  first.alpha = 4;
  WritePeft(folder.path(), first, Small());
  WriteFile(folder / "README.md", "mine");
  WritePeft(folder.path(), Sample(), Small());
  const LoraAdapter read = ReadPeft(folder.path(), Small());
  EXPECT_EQ(read.alpha, 16.0);
  ExpectSamePairs(read, Sample());
  EXPECT_EQ(ReadFile(folder / "README.md"), "mine");
  EXPECT_EQ(Names(folder.path()).size(), 3u);
}

// Qwen2's rows are in one order everywhere.
TEST(Peft, RowsOfAQwen2StayInPlace) {
  const TestFolder folder;
  const LoraAdapter adapter = Sample();
  LlamaConfig config = Small();
  config.architecture = Architecture::kQwen2;
  WritePeft(folder.path(), adapter, config);
  const auto file = SafetensorsFile::Open(folder / "adapter_model.safetensors");
  const Tensor b = file->LoadTensor("base_model.model.model.layers.2.self_attn.q_proj.lora_B.weight");
  EXPECT_THAT(b.floats(), ::testing::ElementsAreArray(adapter.pairs[0].b.floats()));
  ExpectSamePairs(ReadPeft(folder.path(), config), adapter);

  const auto path = folder / "adapter.gguf";
  WriteGgufAdapter(path, adapter, Architecture::kQwen2);
  ExpectSamePairs(ReadGgufAdapter(path, config), adapter);
  try {
    ReadGgufAdapter(path, Small());
    FAIL() << "an adapter of another architecture";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("'qwen2'"));
  }
}

TEST(Peft, ToleratesNullsAndRefusesWhatItWouldGetWrong) {
  const TestFolder folder;
  WritePeft(folder.path(), Sample(), Small());
  const auto error = [&](const std::string& text) -> std::string {
    WriteFile(folder / "adapter_config.json", text);
    try {
      ReadPeft(folder.path(), Small());
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(folder.path().string()));
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(
      error(
          R"({"peft_type":"LORA","r":16,"lora_alpha":16,"use_rslora":null,"bias":null,"modules_to_save":null,
                      "rank_pattern":{},"use_dora":false,"revision":null,"target_modules":null})"),
      "");
  EXPECT_THAT(error("["), HasSubstr("JSON"));
  EXPECT_THAT(error(R"({"r":8})"), HasSubstr("expected 8 x 24"));
  EXPECT_THAT(error(R"({"use_dora":)" + std::string(400000, '[') + std::string(400000, ']') + "}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error(R"({"r":0})"), HasSubstr("r is 0"));
  EXPECT_THAT(error(R"({"r":"16"})"), HasSubstr("r is"));
  EXPECT_THAT(error(R"({"r":16,"use_dora":true})"), HasSubstr("use_dora"));
  EXPECT_THAT(error(R"({"r":16,"modules_to_save":["lm_head"]})"), HasSubstr("modules_to_save"));
  EXPECT_THAT(error(R"({"r":16,"rank_pattern":{"q_proj":4}})"), HasSubstr("rank_pattern"));
  EXPECT_THAT(error(R"({"r":16,"peft_type":"IA3"})"), HasSubstr("IA3"));
  EXPECT_THAT(error(R"({"r":16,"bias":"all"})"), HasSubstr("bias"));
}

TEST(Peft, RefusesAnAdapterOfAnotherModel) {
  const TestFolder folder;
  WritePeft(folder.path(), Sample(), Small());
  LlamaConfig other = Small();
  other.layers = 10;
  EXPECT_THROW(ReadPeft(folder.path(), other), Error);
  other = Small();
  other.hidden_dim = 64;
  EXPECT_THROW(ReadPeft(folder.path(), other), Error);
}

TEST(Peft, GgufAdapterScalesAsReadersDo) {
  const TestFolder folder;
  const LoraAdapter adapter = Sample();
  const auto path = folder / "adapter.gguf";
  WriteGgufAdapter(path, adapter);
  EXPECT_EQ(GgufFile::Open(path)->Get<double>("adapter.lora.alpha"), 64.0);  // 16 * sqrt(16)
  const LoraAdapter read = ReadGgufAdapter(path, Small());
  EXPECT_FALSE(read.rslora);
  EXPECT_EQ(read.Scale(), adapter.Scale());
  ExpectSamePairs(read, adapter);
}

// The embedding is a table: PEFT multiplies its A by the token, so A is [rank, vocabulary].
TEST(Peft, EmbeddingAndLmHead) {
  const TestFolder folder;
  LoraAdapter adapter{16, 16.0, false, 0, "", {}};
  adapter.pairs.push_back({{-1, Part::kEmbedding}, Noise(16, 24, 0), Noise(61, 16, 1)});
  adapter.pairs.push_back({{-1, Part::kOutput}, Noise(16, 24, 2), Noise(61, 16, 3)});
  WritePeft(folder.path(), adapter, Small());
  const auto file = SafetensorsFile::Open(folder / "adapter_model.safetensors");
  const Tensor a = file->LoadTensor("base_model.model.model.embed_tokens.lora_embedding_A");
  EXPECT_THAT(a.shape(), ElementsAre(16, 61));
  EXPECT_EQ(a.floats()[1], adapter.pairs[0].b.floats()[16]);  // rank 0 of token 1
  EXPECT_THAT(file->LoadTensor("base_model.model.model.embed_tokens.lora_embedding_B").shape(),
              ElementsAre(24, 16));
  EXPECT_THAT(file->LoadTensor("base_model.model.lm_head.lora_B.weight").shape(), ElementsAre(61, 16));
  ExpectSamePairs(ReadPeft(folder.path(), Small()), adapter);

  // llama.cpp wants the embedding's A by token and its B as it is.
  const auto path = folder / "adapter.gguf";
  WriteGgufAdapter(path, adapter);
  const auto gguf = GgufFile::Open(path);
  EXPECT_THAT(gguf->LoadTensor("token_embd.weight.lora_a").shape(), ElementsAre(61, 16));
  EXPECT_THAT(gguf->LoadTensor("token_embd.weight.lora_b").shape(), ElementsAre(24, 16));
  EXPECT_THAT(gguf->LoadTensor("output.weight.lora_a").shape(), ElementsAre(16, 24));
  ExpectSamePairs(ReadGgufAdapter(path, Small()), adapter);

  LlamaConfig tied = Small();
  tied.tied_embeddings = true;
  EXPECT_THROW(ReadPeft(folder.path(), tied), Error);
}

// A folder as WritePeft makes it, with tensors and keys that PEFT writes and longspan does not.
class PeftFolder {
 public:
  explicit PeftFolder(const LoraAdapter& adapter, const LlamaConfig& config = Small()) : config_(config) {
    WritePeft(folder_.path(), adapter, config_);
    const auto file = SafetensorsFile::Open(Tensors());
    for (const SafetensorsEntry& e : file->entries()) tensors_.emplace_back(e.name, file->LoadTensor(e.name));
  }
  void Add(const std::string& name, const Tensor& tensor) {
    tensors_.emplace_back("base_model.model." + name, tensor);
    SafetensorsWriter writer(Tensors());
    for (const auto& [n, t] : tensors_) writer.Declare(n, t.type(), t.shape());
    for (const auto& [n, t] : tensors_) writer.Write(n, t.bytes());
    writer.Commit();
  }
  void Initialised(const std::string& way) {
    const auto path = folder_ / "adapter_config.json";
    auto json = nlohmann::json::parse(ReadFile(path));
    json["init_lora_weights"] = nlohmann::json::parse(way);
    WriteFile(path, json.dump());
  }
  LoraAdapter Read() const { return ReadPeft(folder_.path(), config_); }
  std::string Refusal() const {
    return ErrorOf([&] { Read(); });
  }
  std::filesystem::path Tensors() const { return folder_ / "adapter_model.safetensors"; }
  const TestFolder& folder() const { return folder_; }

 private:
  LlamaConfig config_;
  TestFolder folder_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
};

// PEFT saves an adapted embedding or LM head with the untouched weight of the layer that it wraps.
TEST(Peft, ReadsTheBaseLayersThatPeftSaves) {
  LoraAdapter adapter{16, 16.0, false, 0, "", {}};
  adapter.pairs.push_back({{-1, Part::kEmbedding}, Noise(16, 24, 0), Noise(61, 16, 1)});
  adapter.pairs.push_back({{-1, Part::kOutput}, Noise(16, 24, 2), Noise(61, 16, 3)});
  PeftFolder folder(adapter);
  const Tensor embedding = Noise(61, 24, 4), head = Noise(61, 24, 5).ToFloat(Type::kBF16);
  folder.Add("model.embed_tokens.base_layer.weight", embedding);
  folder.Add("lm_head.base_layer.weight", head);
  const LoraAdapter read = folder.Read();
  ExpectSamePairs(read, adapter);
  ASSERT_EQ(read.base_layers.size(), 2u);
  for (const LoraAdapter::BaseLayer& layer : read.base_layers) {
    const Tensor& wanted = layer.target.part == Part::kEmbedding ? embedding : head;
    EXPECT_EQ(layer.weight.type(), wanted.type());
    EXPECT_THAT(layer.weight.bytes(), ::testing::ElementsAreArray(wanted.bytes()));
    EXPECT_THAT(layer.where, HasSubstr(".base_layer.weight"));
  }
}

TEST(Peft, ReadsEmbeddingsThatPeftSavesBesideOtherLayers) {
  PeftFolder folder(Sample());
  folder.Add("model.embed_tokens.weight", Noise(61, 24, 4));
  folder.Add("lm_head.weight", Noise(61, 24, 5));
  EXPECT_EQ(folder.Read().base_layers.size(), 2u);
}

TEST(Peft, RefusesAnEnlargedVocabulary) {
  PeftFolder folder(Sample());
  folder.Add("model.embed_tokens.base_layer.weight", Noise(63, 24, 4));
  EXPECT_THAT(folder.Refusal(), HasSubstr("is 63 x 24, the base's is 61 x 24: the vocabulary was changed"));
}

TEST(Peft, RefusesAdaptersThatChangedTheirBase) {
  PeftFolder folder(Sample());
  for (const char* way : {"true", "false", "null", "\"gaussian\"", "\"eva\"", "\"orthogonal\"", "\"True\""}) {
    folder.Initialised(way);
    EXPECT_EQ(folder.Refusal(), "") << way;
  }
  for (const char* way : {"pissa", "pissa_niter_16", "PiSSA", "olora", "corda", "loftq", "lora_ga", "new"}) {
    folder.Initialised(fmt::format("\"{}\"", way));
    EXPECT_THAT(folder.Refusal(), HasSubstr("path_initial_model_for_weight_conversion")) << way;
  }
  folder.Initialised("3");
  EXPECT_THAT(folder.Refusal(), HasSubstr("init_lora_weights is 3"));
}

TEST(Peft, SaysWhatTheTensorsAreInstead) {
  PeftFolder folder(Sample());
  const auto write = [&](const std::string& contents) { WriteFile(folder.Tensors(), contents); };
  write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  EXPECT_THAT(folder.Refusal(), HasSubstr("git lfs pull"));
  const std::string header = R"({"base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight":)"
                             R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  const std::uint64_t size = header.size();
  write(std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header);
  EXPECT_THAT(folder.Refusal(), HasSubstr("ZeRO-3"));
  std::filesystem::rename(folder.Tensors(), folder.folder() / "adapter_model.bin");
  EXPECT_THAT(folder.Refusal(), AllOf(HasSubstr("adapter_model.bin"), HasSubstr("pickles are not read")));
}

TEST(Peft, AlphaZero) {
  const TestFolder folder;
  LoraAdapter adapter = Sample();
  adapter.alpha = 0;
  const auto path = folder / "adapter.gguf";
  EXPECT_THROW(WriteGgufAdapter(path, adapter), Error);
  GgufMetadata metadata;
  metadata.Set("general.type", "adapter");
  metadata.Set("adapter.type", "lora");
  GgufWriter writer(path, metadata);
  writer.Declare("blk.2.attn_q.weight.lora_a", Type::kF32, {16, 24});
  writer.Declare("blk.2.attn_q.weight.lora_b", Type::kF32, {32, 16});
  writer.Write("blk.2.attn_q.weight.lora_a", adapter.pairs[0].a.bytes());
  writer.Write("blk.2.attn_q.weight.lora_b", adapter.pairs[0].b.bytes());
  writer.Commit();
  EXPECT_EQ(ReadGgufAdapter(path, Small()).Scale(), 1.0);  // no alpha means a scale of one
}

}  // namespace
}  // namespace longspan
