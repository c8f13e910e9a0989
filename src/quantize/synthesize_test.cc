#include "quantize/synthesize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/testing/temporary_folder.h"
#include "formats/llama_gguf.h"
#include "kernels/kernels.h"
#include "model/shapes.h"
#include "model/transformer.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A small 8B: with its head dimension, shared KV heads, and row lengths that the blocks of K types divide.
LlamaConfig Small() {
  LlamaConfig config = FindShape("llama3-8b");
  config.vocab_size = 512;
  config.dim = 512;
  config.layers = 1;
  config.heads = 4;
  config.kv_heads = 2;
  config.hidden_dim = 1024;
  return config;
}

// The model's logits after each of `tokens`.
Matrix Logits(const ModelFile& model, const std::vector<std::int32_t>& tokens) {
  const Transformer transformer(model.config, model.weights, ChooseKernels("auto"));
  KvCache cache(model.config);
  Matrix hidden(std::ssize(tokens), model.config.dim), logits(std::ssize(tokens), model.config.vocab_size);
  transformer.Forward(tokens, cache, hidden);
  transformer.Logits(hidden, logits);
  return logits;
}

SynthesizeOptions Typed(std::string_view type, std::uint64_t seed = 0) {
  return {FindSynthesisTypes(type), {}, seed};
}

class SynthesizeTest : public testing::Test {
 protected:
  fs::path Path(const std::string& name) const { return folder_ / name; }
  bool FolderIsEmpty() const { return fs::is_empty(folder_.path()); }

  // The message of the error that is thrown.
  std::string Refusal(const LlamaConfig& config, const SynthesizeOptions& options, ErrorKind kind) const {
    try {
      SynthesizeFile(Path("refused.gguf"), config, options, NoProgress());
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "was written";
    return {};
  }

 private:
  TestFolder folder_;
};

TEST_F(SynthesizeTest, LoadsAndHasSaneLogits) {
  for (const char* type :
       {"F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q4_1", "q5_k"}) {
    const SynthesizeReport report = SynthesizeFile(Path("m.gguf"), Small(), Typed(type), NoProgress());
    EXPECT_EQ(report.weights, Small().Parameters());
    const ModelFile model = LoadModel(Path("m.gguf"));
    EXPECT_EQ(model.config.rope_theta, 500000.0);
    EXPECT_EQ(model.config.kv_heads, 2);
    EXPECT_EQ(model.config.context, 8192);
    EXPECT_FALSE(model.config.tied_embeddings);

    double sum = 0, squares = 0, top = 0;
    const Matrix logits = Logits(model, {256, 1, 2, 300, 4, 5});
    for (const float x : logits.span()) {
      ASSERT_TRUE(std::isfinite(x)) << type;
      sum += x;
      squares += double{x} * x;
      top = std::max(top, double{x});
    }
    // Normed activations times weights of deviation 0.02.
    const auto n = static_cast<double>(logits.size());
    EXPECT_NEAR(sum / n, 0, 0.15) << type;
    EXPECT_NEAR(std::sqrt(squares / n), 0.02 * std::sqrt(512), 0.1) << type;
    EXPECT_LT(top, 3) << type;
  }
}

TEST_F(SynthesizeTest, TypesAreThoseOfTheMix) {
  const auto type_of = [&](const char* types, const char* tensor) {
    SynthesizeFile(Path("m.gguf"), Small(), Typed(types), NoProgress());
    return GgufFile::Open(Path("m.gguf"))->FindTensor(tensor)->type;
  };
  EXPECT_EQ(type_of("Q4_K_M", "blk.0.ffn_up.weight"), Type::kQ4_K);
  EXPECT_EQ(type_of("Q4_K_M", "output.weight"), Type::kQ6_K);
  EXPECT_EQ(type_of("Q4_K_M", "blk.0.attn_v.weight"), Type::kQ6_K);
  EXPECT_EQ(type_of("Q4_K_M", "blk.0.attn_norm.weight"), Type::kF32);
  EXPECT_EQ(type_of("Q4_K", "output.weight"), Type::kQ4_K);
  EXPECT_EQ(type_of("Q4_K", "blk.0.attn_v.weight"), Type::kQ4_K);
  EXPECT_EQ(type_of("Q5_0", "token_embd.weight"), Type::kQ5_0);
  const auto file_type = [&](const char* types) {
    SynthesizeFile(Path("m.gguf"), Small(), Typed(types), NoProgress());
    return GgufFile::Open(Path("m.gguf"))->Get<std::uint32_t>("general.file_type");
  };
  EXPECT_EQ(file_type("Q4_K_S"), 14u);
  EXPECT_EQ(file_type("Q5_0"), 8u);
}

TEST_F(SynthesizeTest, BytesDependOnTheSeedAndNotOnTheThreads) {
  const int threads = Threads();
  const auto bytes = [&](int threads, std::uint64_t seed) {
    SetThreads(threads);
    SynthesizeFile(Path("m.gguf"), Small(), Typed("Q4_K_M", seed), NoProgress());
    return ReadFile(Path("m.gguf"));
  };
  const std::string one = bytes(1, 7);
  EXPECT_TRUE(bytes(2, 7) == one);
  EXPECT_TRUE(bytes(3, 7) == one);
  EXPECT_FALSE(bytes(2, 8) == one);
  SetThreads(threads);
}

// A matrix of more than one piece, whose rows must not repeat from piece to piece or from tensor to tensor.
TEST_F(SynthesizeTest, NoRowIsDrawnTwice) {
  LlamaConfig config = Small();
  config.vocab_size = 20000;
  SynthesizeFile(Path("m.gguf"), config, Typed("F16"), NoProgress());
  const ModelFile model = LoadModel(Path("m.gguf"));
  std::vector<std::string> rows;
  for (const Tensor* t : {&model.weights.embedding, &model.weights.output, &model.weights.layers[0].q}) {
    for (std::int64_t i = 0; i < t->rows(); ++i) {
      rows.emplace_back(reinterpret_cast<const char*>(t->row(i).data()), t->row(i).size());
    }
  }
  std::ranges::sort(rows);
  EXPECT_EQ(std::ranges::adjacent_find(rows), rows.end());
}

TEST_F(SynthesizeTest, TheVocabularyCanBeAnotherFiles) {
  SynthesizeFile(Path("first.gguf"), Small(), Typed("F16"), NoProgress());
  SynthesizeOptions options = Typed("F16");
  options.vocabulary = Path("first.gguf");
  SynthesizeFile(Path("second.gguf"), Small(), options, NoProgress());
  const auto second = GgufFile::Open(Path("second.gguf"));
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(second->metadata()));
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  EXPECT_TRUE(tokenizer->add_bos());
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("any text, \xff")), "any text, \xff");

  LlamaConfig larger = Small();
  larger.vocab_size = 600;
  EXPECT_THAT(Refusal(larger, options, ErrorKind::kBadOption), HasSubstr("512 tokens, expected the 600"));
}

TEST_F(SynthesizeTest, RefusesWhatDoesNotFitTheDisk) {
  LlamaConfig huge = FindShape("llama3-70b");  // some petabytes
  huge.dim = 1 << 20;
  huge.hidden_dim = 1 << 22;
  EXPECT_THAT(Refusal(huge, Typed("F32"), ErrorKind::kIo), HasSubstr("GB are needed"));
  EXPECT_TRUE(FolderIsEmpty());
}

TEST_F(SynthesizeTest, CancellingLeavesNoFile) {
  RequestCancel();
  Refusal(Small(), Typed("Q4_K_M"), ErrorKind::kCancelled);
  ClearCancel();
  EXPECT_TRUE(FolderIsEmpty());
}

TEST(SynthesisTypesTest, AnUnknownTypeListsTheMixes) {
  try {
    FindSynthesisTypes("Q9");
    FAIL() << "found";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_THAT(e.what(), HasSubstr("Q9"));
    EXPECT_THAT(e.what(), HasSubstr("Q4_K_M"));
  }
}

}  // namespace
}  // namespace longspan
