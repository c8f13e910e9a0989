#include "eval/type_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "eval/calibration.h"
#include "eval/kld.h"
#include "formats/llama_gguf.h"
#include "infer/loaded_model.h"
#include "kernels/kernels.h"
#include "model/testing/small_model.h"
#include "quantize/quantize.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SearchTypesTest : public testing::Test {
 protected:
  SearchTypesTest() {
    LlamaConfig config = oracle::SmallConfig();
    config.dim = 64;
    config.head_dim = 16;
    config.hidden_dim = 96;
    SaveModel(path_, config, oracle::LivelyWeights(config, 5), {});
    loaded_ = LoadModel(path_);
    model_.emplace(loaded_.config, loaded_.weights, ChooseKernels("auto"));
    const std::vector<TokenDocument> documents{oracle::RandomTokens(64, 61)};
    chunks_ = CalibrationChunks(documents, 1, 32);
  }

  TypeSearchResult Search(std::int64_t bytes, const MixOverrides& overrides = {}) const {
    return SearchTypes(*loaded_.file, *model_, chunks_, {.bytes = bytes, .overrides = overrides});
  }
  std::int64_t BytesOf(std::string_view mix) const { return MixBytes(*loaded_.file, FindMix(mix), {}); }

  TestFolder folder_;
  std::filesystem::path path_ = folder_ / "model.gguf";
  ModelFile loaded_;
  std::optional<Transformer> model_;
  std::vector<TokenDocument> chunks_;
};

MixOverrides Parsed(const std::vector<std::string>& rules) {
  MixOverrides overrides;
  for (const std::string& rule : rules) {
    const std::size_t equals = rule.rfind('=');
    overrides.rules.push_back({NamePattern(rule.substr(0, equals)), *TypeFromName(rule.substr(equals + 1))});
  }
  return overrides;
}

TEST_F(SearchTypesTest, SpendsTheBytesAndSaysHow) {
  const std::int64_t bytes = BytesOf("Q5_0");
  const TypeSearchResult result = Search(bytes);
  EXPECT_LE(result.bytes, bytes);
  EXPECT_GT(result.bytes, bytes * 97 / 100);
  EXPECT_GT(result.divergence, 0);

  // The rules give the same types again.
  const auto choices = ChooseTypes(FindMix(result.mix), TensorInfos(*loaded_.file), Parsed(result.rules));
  ASSERT_EQ(choices.size(), result.tensors.size());
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    EXPECT_EQ(choices[i].type, result.tensors[i].type) << choices[i].name;
    sum += TensorBytes(choices[i].type, loaded_.file->tensors()[i].shape);
  }
  EXPECT_EQ(sum, result.bytes);
}

TEST_F(SearchTypesTest, MoreBytesDoLessHarm) {
  const double small = Search(BytesOf("Q4_0")).divergence, large = Search(BytesOf("Q8_0")).divergence;
  EXPECT_LT(large, small);
}

// Quantised types must be measured even where a size leaves room for more than Q8_0. F16 alone does no harm,
// so that all types would look harmless and the smallest would be taken.
TEST_F(SearchTypesTest, RoomForMoreThanQ8ChoosesFineTypes) {
  const std::int64_t f16 = BytesOf("F16"), q8 = BytesOf("Q8_0");
  const TypeSearchResult result = Search(f16 - 1000);
  EXPECT_GT(result.bytes, (f16 + q8) / 2);
  for (const ChosenType& tensor : result.tensors) {
    if (tensor.searched) {
      EXPECT_GE(tensor.bytes, RowBytes(Type::kQ8_0, tensor.elements)) << tensor.name;
    }
  }
}

TEST_F(SearchTypesTest, RoomForAllKeepsEveryType) {
  const std::int64_t own = BytesOf("F32");
  for (const std::int64_t bytes : {own, 1000 * own}) {
    const TypeSearchResult result = Search(bytes);
    EXPECT_EQ(result.bytes, own);
    EXPECT_EQ(result.divergence, 0);
    for (std::size_t i = 0; i < result.tensors.size(); ++i)
      EXPECT_EQ(result.tensors[i].type, loaded_.file->tensors()[i].type) << result.tensors[i].name;
  }
}

TEST_F(SearchTypesTest, KeepsWhatIsGiven) {
  MixOverrides overrides = Parsed({"blk\\.1\\.attn_q=Q8_0"});
  overrides.output_type = Type::kQ4_0;
  const TypeSearchResult result = Search(BytesOf("Q5_0"), overrides);
  for (const ChosenType& tensor : result.tensors) {
    const bool given = tensor.name == "blk.1.attn_q.weight" || tensor.name == "output.weight" ||
                       tensor.name.ends_with("_norm.weight");
    EXPECT_EQ(tensor.searched, !given) << tensor.name;
    if (tensor.name == "blk.1.attn_q.weight") {
      EXPECT_EQ(tensor.type, Type::kQ8_0);
    } else if (tensor.name == "output.weight") {
      EXPECT_EQ(tensor.type, Type::kQ4_0);
    }
  }
}

TEST_F(SearchTypesTest, RefusesWhatCannotBe) {
  EXPECT_THROW(Search(1000), Error);
  EXPECT_THROW(Search(BytesOf("Q8_0"), Parsed({"weight=Q4_0"})), Error);  // nothing is left to choose
  const auto quantized = folder_ / "quantized.gguf";
  QuantizeFile(path_, quantized, FindMix("Q4_0"), {}, NoProgress());
  try {
    SearchTypes(*GgufFile::Open(quantized), *model_, chunks_, {.bytes = BytesOf("Q4_0")});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is already Q4_0"));
  }
}

TEST(DescribeRules, PutsLayersTogether) {
  const auto chosen = [](const char* name, Type type) { return ChosenType{name, type, 1, 1, 0, true}; };
  EXPECT_THAT(DescribeRules(std::vector{
                  chosen("token_embd.weight", Type::kQ4_0), chosen("blk.0.attn_v.weight", Type::kQ8_0),
                  chosen("blk.1.attn_v.weight", Type::kQ5_0), chosen("blk.2.attn_v.weight", Type::kQ8_0),
                  chosen("blk.0.ffn_up.weight", Type::kQ4_0), chosen("blk.1.ffn_up.weight", Type::kQ4_0),
                  ChosenType{"blk.0.attn_norm.weight", Type::kF32, 1, 1, 0, false}}),
              ElementsAre("^token_embd\\.weight$=Q4_0", "^blk\\.1\\.attn_v\\.weight$=Q5_0",
                          "^blk\\.(0|2)\\.attn_v\\.weight$=Q8_0", "^blk\\.\\d+\\.ffn_up\\.weight$=Q4_0"));
}

// The whole search, on the base model and prose from the repository.
TEST(SearchTypes, BeatsTheFixedMixOfItsSize) {
  const std::filesystem::path source(LONGSPAN_SOURCE_DIR), base = source / "models" / "longspan-base.gguf";
  const TestFolder folder;
  const LoadedModel model(base);
  const auto text = [&](const char* name) {
    return std::vector<TokenDocument>{model.tokenizer().Encode(ReadFile(source / "docs" / name))};
  };
  auto chunks = CalibrationChunks(text("architecture.md"), model.bos(), 256);
  chunks.resize(2);
  const auto file = GgufFile::Open(base);
  const TypeSearchResult result =
      SearchTypes(*file, model.transformer(), chunks, {.bytes = MixBytes(*file, FindMix("Q4_K_M"), {})});
  QuantizeOptions options;
  options.overrides = Parsed(result.rules);
  QuantizeFile(base, folder / "searched.gguf", FindMix(result.mix), options, NoProgress());
  QuantizeFile(base, folder / "fixed.gguf", FindMix("Q4_K_M"), {}, NoProgress());
  EXPECT_LE(std::filesystem::file_size(folder / "searched.gguf"),
            std::filesystem::file_size(folder / "fixed.gguf") + 4096);

  const auto divergence = [&](const char* name) {
    const LoadedModel quantized(folder / name);
    TransformerSequence sequence(quantized.transformer()), reference(model.transformer());
    return MeasureKld(sequence, reference, text("performance.md"), model.bos(),
                      {.context = 256, .max_tokens = 500})
        .mean;
  };
  const double searched = divergence("searched.gguf"), fixed = divergence("fixed.gguf");
  EXPECT_LT(searched, 0.7 * fixed);
}

}  // namespace
}  // namespace longspan
