#include "infer/loaded_model.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <cstdint>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing/temporary_folder.h"
#include "formats/adapter_targets.h"
#include "formats/peft.h"
#include "kernels/testing/random_blocks.h"
#include "model/testing/small_model.h"
#include "text/gguf_vocabulary.h"
#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

class LoadedModelTest : public testing::Test {
 protected:
  LoadedModelTest() {
    vocabulary_.bos = AddToken(vocabulary_, "<|begin_of_text|>", TokenKind::kControl);
    vocabulary_.eos = AddToken(vocabulary_, "<|end_of_text|>", TokenKind::kControl);
    vocabulary_.add_bos = true;
    config_ = oracle::MinimalConfig(std::ssize(vocabulary_.tokens), 16);
  }

  fs::path Save() const {
    GgufMetadata metadata;
    WriteVocabulary(vocabulary_, metadata);
    SaveModel(folder_ / "model.gguf", config_, RandomWeights(config_, 1), metadata);
    return folder_ / "model.gguf";
  }

  TestFolder folder_;
  Vocabulary vocabulary_ = ByteVocabulary();
  LlamaConfig config_;
};

TEST_F(LoadedModelTest, BringsModelAndTokenizerTogether) {
  const LoadedModel model(Save());
  EXPECT_EQ(model.config().context, 64);
  EXPECT_EQ(model.tokenizer().Encode("a").front(), 'a');
  EXPECT_EQ(model.bos(), 256);
  EXPECT_THAT(model.stop_tokens(), testing::ElementsAre(256, 257));
}

TEST_F(LoadedModelTest, BosOnlyWhereTheModelWantsOne) {
  vocabulary_.add_bos = false;
  EXPECT_EQ(LoadedModel(Save()).bos(), std::nullopt);
}

TEST_F(LoadedModelTest, RefusesAVocabularyOfAnotherSize) {
  ++config_.vocab_size;
  const fs::path path = Save();
  EXPECT_THAT([&] { LoadedModel model(path); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("model.gguf")));
}

// Logits of a few tokens.
Matrix Logits(const LoadedModel& model) {
  const std::vector<std::int32_t> tokens{256, 'a', 'b', 'c', 'a', 'b'};
  KvCache cache(model.config());
  Matrix hidden(std::ssize(tokens), model.config().dim), logits(hidden.rows(), model.config().vocab_size);
  model.transformer().Forward(tokens, cache, hidden);
  model.transformer().Logits(hidden, logits);
  return logits;
}

double LargestDifference(const Matrix& a, const Matrix& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.span().size(); ++i) {
    largest =
        std::max(largest, std::abs(static_cast<double>(a.span()[i]) - static_cast<double>(b.span()[i])));
  }
  return largest;
}

LoraAdapter RandomAdapter(const LlamaConfig& c, std::int64_t rank, bool rslora, std::uint64_t seed) {
  LoraAdapter adapter{rank, 2.0 * static_cast<double>(rank), rslora, 0, "", {}};
  Random random(seed, 0, RandomPurpose::kTest);
  for (const WeightId target : AdapterTargets(c)) {
    if (target.part == Part::kOutput && c.tied_embeddings) continue;
    const PartTraits& traits = Traits(target.part);
    Tensor a = Tensor::Allocate(Type::kF32, {rank, traits.cols(c)}),
           b = Tensor::Allocate(Type::kF32, {traits.rows(c), rank});
    for (float& x : a.mutable_floats()) x = 0.1f * random.Normal();
    for (float& x : b.mutable_floats()) x = 0.1f * random.Normal();
    adapter.pairs.push_back({target, a, b});
  }
  return adapter;
}

// W + factor * s B A, in place of what train/merge.h does for a command.
void Merge(const LoraAdapter& adapter, double factor, Weights& weights) {
  ForEachTensor(weights, false, [&](WeightId id, Tensor& tensor) {
    const auto pair = std::ranges::find(adapter.pairs, id, &LoraAdapter::Pair::target);
    if (pair == adapter.pairs.end()) return;
    Tensor sum = tensor.ToF32();
    for (std::int64_t i = 0; i < sum.elements(); ++i) {
      double delta = 0;
      for (std::int64_t r = 0; r < adapter.rank; ++r) {
        delta += static_cast<double>(pair->b.AsRows().at(i / sum.cols(), r)) *
                 static_cast<double>(pair->a.AsRows().at(r, i % sum.cols()));
      }
      sum.mutable_floats()[i] += static_cast<float>(factor * adapter.Scale() * delta);
    }
    tensor = sum;
  });
}

TEST_F(LoadedModelTest, RunsTheSameFromMemoryOfItsOwn) {
  config_ = oracle::MinimalConfig(std::ssize(vocabulary_.tokens), 32);
  GgufMetadata metadata;
  WriteVocabulary(vocabulary_, metadata);
  Weights weights = RandomWeights(config_, 1);
  weights.layers[0].o = RandomBlocks(Type::kQ8_0, 32, 32, 2);
  weights.output = weights.embedding = RandomBlocks(Type::kQ4_0, config_.vocab_size, 32, 3);
  config_.tied_embeddings = true;
  SaveModel(folder_ / "blocks.gguf", config_, weights, metadata);
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    const LoadedModel mapped(folder_ / "blocks.gguf", {}, "auto", activations);
    const LoadedModel packed(mapped.path(), {}, "auto", activations, {}, WeightMemory::kPacked);
    EXPECT_EQ(LargestDifference(Logits(mapped), Logits(packed)), 0);
    const Kernels& kernels = packed.transformer().kernels();
    const Tensor& output = packed.transformer().weights().output;
    EXPECT_EQ(output.packing().lanes > 0, kernels.PackedBytes(output) > 0);
    EXPECT_EQ(mapped.weight_memory(), WeightMemory::kMapped);
    EXPECT_EQ(packed.weight_memory(), WeightMemory::kPacked);
  }
  // Exact products read weights as they are.
  EXPECT_EQ(LoadedModel(Save(), {}, "auto", Activations::kExact, {}, WeightMemory::kAuto).weight_memory(),
            WeightMemory::kMapped);
}

TEST_F(LoadedModelTest, RunsWithAdaptersAsIfTheyWereMerged) {
  config_.heads = config_.kv_heads = 2;
  config_.head_dim = 8;
  GgufMetadata metadata;
  WriteVocabulary(vocabulary_, metadata);
  for (const auto& [architecture, tied] :
       {std::pair(Architecture::kLlama, false), {Architecture::kQwen2, true}}) {
    config_.architecture = architecture;
    config_.tied_embeddings = tied;
    Weights base = oracle::LivelyWeights(config_, 1);
    if (tied) base.output = base.embedding;
    LlamaConfig untied = config_;  // the merged model's: an adapted embedding is no longer the LM head
    untied.tied_embeddings = false;
    SaveModel(folder_ / "base.gguf", config_, base, metadata);
    const LoraAdapter plain = RandomAdapter(config_, 3, false, 1),
                      stable = RandomAdapter(config_, 4, true, 2);
    WritePeft(folder_ / "peft", stable, config_);
    WriteGgufAdapter(folder_ / "plain.gguf", plain, architecture);
    WriteGgufAdapter(folder_ / "stable.gguf", stable, architecture);
    struct Case {
      std::vector<std::string> given;
      double plain, stable;  // factors
    };
    for (const Case& c : {Case{{"plain.gguf"}, 1, 0},
                          {{"peft"}, 0, 1},
                          {{"stable.gguf"}, 0, 1},
                          {{"plain.gguf:0.5"}, 0.5, 0},
                          {{"plain.gguf:-2", "peft:0.25"}, -2, 0.25},
                          {{"peft", "plain.gguf", "stable.gguf"}, 1, 2}}) {
      std::vector<AdapterFile> files;
      for (const std::string& given : c.given)
        files.push_back(AdapterFile::Parse((folder_ / given).string()));
      Weights merged = base;
      Merge(plain, c.plain, merged);
      Merge(stable, c.stable, merged);
      SaveModel(folder_ / "merged.gguf", untied, merged, metadata);
      const Matrix want = Logits(LoadedModel(folder_ / "merged.gguf"));
      const Matrix got = Logits(LoadedModel(folder_ / "base.gguf", {}, "auto", Activations::kExact, files));
      const std::string what = fmt::format("{} {}", Name(architecture), fmt::join(c.given, " "));
      EXPECT_LT(LargestDifference(got, want), 1e-4) << what;
      EXPECT_GT(LargestDifference(want, Logits(LoadedModel(folder_ / "base.gguf"))), 1e-2) << what;
    }
  }
}

TEST_F(LoadedModelTest, ReadsPathsAndFactors) {
  const std::string plain = (folder_ / "a").string(), colon = (folder_ / "b:2").string();
  WriteFile(plain, "");
  WriteFile(colon, "");
  EXPECT_EQ(AdapterFile::Parse(plain).factor, 1);
  EXPECT_EQ(AdapterFile::Parse(plain + ":-0.5").factor, -0.5);
  EXPECT_EQ(AdapterFile::Parse(plain + ":-0.5").path, plain);
  EXPECT_EQ(AdapterFile::Parse(colon).factor, 1) << "a file of that name";
  EXPECT_EQ(AdapterFile::Parse(colon + ":3").factor, 3);
  for (const std::string& bad : {plain + ":", plain + ":x", plain + ":1x", plain + ":nan", plain + ":1e999",
                                 plain + "c", plain + "c:1", std::string()}) {
    EXPECT_THROW(AdapterFile::Parse(bad), Error) << bad;
  }
}

TEST_F(LoadedModelTest, RopeMayBeOverridden) {
  RopeOverride rope;
  rope.theta = 5e5;
  rope.scaling = RopeScaling::Kind::kLinear;
  rope.factor = 4;
  const LoadedModel model(Save(), rope);
  EXPECT_EQ(model.config().rope_theta, 5e5);
  EXPECT_DOUBLE_EQ(model.transformer().rope().inverse[0], 0.25);
}

}  // namespace
}  // namespace longspan
