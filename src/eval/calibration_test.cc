#include "eval/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/testing/temporary_folder.h"
#include "kernels/kernels.h"
#include "model/activation_listener.h"
#include "model/testing/small_model.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

Transformer SmallModel() {
  return Transformer(oracle::SmallConfig(), oracle::LivelyWeights(oracle::SmallConfig(), 5),
                     ChooseKernels("reference"));
}

std::vector<TokenDocument> SomeChunks(std::int64_t chunks, std::int64_t tokens) {
  const std::vector<TokenDocument> documents{oracle::RandomTokens(chunks * tokens, 61)};
  return CalibrationChunks(documents, 1, tokens);
}

TEST(CalibrationChunks, AreCutAsLlamaImatrixCutsThem) {
  const std::vector<TokenDocument> documents{{10, 11, 12, 13, 14}, {20, 21, 22}};
  // The stream is BOS 10 11 12 13 14 20 21 22; each chunk's first token gives way to BOS.
  EXPECT_THAT(CalibrationChunks(documents, 1, 4),
              ElementsAre(ElementsAre(1, 10, 11, 12), ElementsAre(1, 14, 20, 21)));
  EXPECT_THAT(CalibrationChunks(documents, std::nullopt, 4),
              ElementsAre(ElementsAre(10, 11, 12, 13), ElementsAre(14, 20, 21, 22)));
  EXPECT_THROW(CalibrationChunks(documents, 1, 10), Error);
  EXPECT_THROW(CalibrationChunks(documents, 1, 1), Error);
}

TEST(CollectImportance, KnownAnswerOfTheFirstLayer) {
  const TestFolder folder;
  const Transformer model = SmallModel();
  const auto chunks = SomeChunks(2, 16);
  ImportanceMatrix matrix;
  CollectImportance(model, chunks, {.out = folder / "m.gguf"}, matrix);

  // The first layer's q, k and v read the normed embeddings.
  const std::int64_t dim = model.config().dim;
  std::vector<double> squares(static_cast<std::size_t>(dim));
  for (const TokenDocument& chunk : chunks) {
    for (const std::int32_t token : chunk) {
      const auto row = model.weights().embedding.AsRows()[token];
      double mean = 0;
      for (const float x : row) mean += double{x} * x / static_cast<double>(dim);
      for (std::size_t j = 0; j < squares.size(); ++j) {
        const double y =
            row[j] / std::sqrt(mean + model.config().norm_epsilon) * model.blocks()[0].attention_norm[j];
        squares[j] += y * y;
      }
    }
  }
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {
    const auto* entry = matrix.Find(name);
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_THAT(entry->counts, ElementsAre(32));
    for (std::size_t j = 0; j < squares.size(); ++j)
      EXPECT_NEAR(entry->sums[j], squares[j], 1e-4 * squares[j]);
  }
  EXPECT_EQ(matrix.entries().size(), 14u);  // neither the embedding nor, unless asked for, the output
  EXPECT_EQ(matrix.Find("blk.1.ffn_down.weight")->cols, model.config().hidden_dim);
  CollectOptions with_output{.out = folder / "n.gguf"};
  with_output.output = true;
  ImportanceMatrix second;
  CollectImportance(model, chunks, with_output, second);
  EXPECT_EQ(second.Find("output.weight")->cols, dim);
}

// Every layer's sums, in the plainest way.
TEST(CollectImportance, SumsWhatEveryLayerIsGiven) {
  class Listener : public ActivationListener {
   public:
    void Saw(WeightId weight, ConstRows x) override {
      auto& sums = squares[weight];
      sums.resize(x.cols);
      for (std::int64_t i = 0; i < x.rows; ++i) {
        for (std::int64_t j = 0; j < x.cols; ++j) sums[j] += double{x.at(i, j)} * x.at(i, j);
      }
    }
    std::map<WeightId, std::vector<double>> squares;
  } listener;
  const TestFolder folder;
  const Transformer model = SmallModel();
  const auto chunks = SomeChunks(3, 20);
  ImportanceMatrix matrix;
  CollectImportance(model, chunks, {.out = folder / "m.gguf"}, matrix);
  for (const TokenDocument& chunk : chunks) {
    KvCache cache(model.config());
    Matrix hidden(std::ssize(chunk), model.config().dim);
    model.Forward(chunk, cache, hidden, &listener);
  }
  const std::map<WeightId, std::string> names{{{0, Part::kO}, "blk.0.attn_output.weight"},
                                              {{1, Part::kQ}, "blk.1.attn_q.weight"},
                                              {{1, Part::kGate}, "blk.1.ffn_gate.weight"},
                                              {{1, Part::kUp}, "blk.1.ffn_up.weight"},
                                              {{1, Part::kDown}, "blk.1.ffn_down.weight"}};
  for (const auto& [ours, gguf] : names) {
    const auto& expected = listener.squares.at(ours);
    const auto& sums = matrix.Find(gguf)->sums;
    ASSERT_EQ(sums.size(), expected.size());
    for (std::size_t j = 0; j < sums.size(); ++j)
      EXPECT_NEAR(sums[j], expected[j], 1e-5 * expected[j]) << gguf;
  }
}

TEST(CollectImportance, GoesOnToTheSameBits) {
  const TestFolder folder;
  const Transformer model = SmallModel();
  const auto chunks = SomeChunks(5, 16);
  ImportanceMatrix whole;
  const int threads = Threads();
  SetThreads(1);
  CollectImportance(model, chunks, {.out = folder / "whole.gguf"}, whole);
  SetThreads(3);
  ImportanceMatrix part;
  CollectImportance(model, chunks, {.out = folder / "part.gguf", .max_chunks = 2}, part);
  ImportanceMatrix resumed = ImportanceMatrix::Load(folder / "part.gguf");
  EXPECT_EQ(resumed.chunks, 2);
  CollectImportance(model, chunks, {.out = folder / "part.gguf"}, resumed);
  SetThreads(threads);
  EXPECT_EQ(resumed.chunks, 5);
  for (const auto& [name, entry] : whole.entries()) EXPECT_EQ(resumed.Find(name)->sums, entry.sums) << name;
}

TEST(CollectImportance, SavesWhenCancelled) {
  const TestFolder folder;
  const Transformer model = SmallModel();
  class CancelAtThree : public Progress {
   public:
    void Update(std::int64_t done, std::string_view) override {
      if (done == 3) RequestCancel();
    }
  } progress;
  ImportanceMatrix matrix;
  EXPECT_THROW(CollectImportance(model, SomeChunks(5, 16), {.out = folder / "m.gguf"}, matrix, progress),
               Error);
  ClearCancel();
  EXPECT_EQ(ImportanceMatrix::Load(folder / "m.gguf").chunks, 3);
}

TEST(CalibrationFingerprint, TellsModelsAndTextsApart) {
  const Transformer model = SmallModel();
  const Transformer other(oracle::SmallConfig(), oracle::LivelyWeights(oracle::SmallConfig(), 6),
                          ChooseKernels("reference"));
  const auto chunks = SomeChunks(2, 16);
  EXPECT_EQ(CalibrationFingerprint(model, chunks), CalibrationFingerprint(SmallModel(), chunks));
  EXPECT_NE(CalibrationFingerprint(model, chunks), CalibrationFingerprint(other, chunks));
  EXPECT_NE(CalibrationFingerprint(model, chunks), CalibrationFingerprint(model, SomeChunks(1, 32)));
}

}  // namespace
}  // namespace longspan
