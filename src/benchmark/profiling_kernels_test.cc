#include "benchmark/profiling_kernels.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/error.h"
#include "model/testing/small_model.h"
#include "model/transformer.h"

namespace longspan {
namespace {

class ProfilingKernelsTest : public testing::Test {
 protected:
  // Reads `tokens` and returns the logits of all of them.
  Matrix Logits(const Transformer& model, std::span<const std::int32_t> tokens) {
    KvCache cache(KvPagePool::Make(config_, Type::kF32));
    Matrix hidden(std::ssize(tokens), config_.dim), logits(hidden.rows(), config_.vocab_size);
    model.Forward(tokens, cache, hidden);
    model.Logits(hidden, logits);
    return logits;
  }

  const LlamaConfig config_ = oracle::SmallConfig();
  const Transformer model_{config_, oracle::LivelyWeights(config_, 1), ReferenceKernels()};
  ProfilingKernels profiling_{model_.kernels(), model_.weights()};
  const Transformer profiled_{model_, profiling_};
  const std::vector<std::int32_t> tokens_{3, 1, 4, 1, 5};
};

TEST_F(ProfilingKernelsTest, APassTakesTimeInEveryPartOfThePlainModel) {
  std::vector<PassPart> parts;
  for (const PartTime& time : profiling_.Profile([&] { Logits(profiled_, tokens_); })) {
    parts.push_back(time.part);
    EXPECT_GT(time.seconds, 0) << Name(time.part);
    EXPECT_LE(time.one_thread, time.seconds * (1 + 1e-9)) << Name(time.part);
  }
  EXPECT_THAT(parts,
              testing::ElementsAre(PassPart::kNorms, PassPart::kQkv, PassPart::kRope, PassPart::kStoreKv,
                                   PassPart::kAttention, PassPart::kAttentionOutput, PassPart::kGateUp,
                                   PassPart::kSwiGlu, PassPart::kDown, PassPart::kLogits, PassPart::kRest));
}

TEST_F(ProfilingKernelsTest, TheResultIsThatOfTheKernels) {
  Matrix profiled;
  profiling_.Profile([&] { profiled = Logits(profiled_, tokens_); });
  EXPECT_TRUE(std::ranges::equal(profiled.span(), Logits(model_, tokens_).span()));
}

TEST_F(ProfilingKernelsTest, WhatIsInNoOperationIsTheRest) {
  const auto wait = [] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
    while (std::chrono::steady_clock::now() < end) {
    }
  };
  const std::vector<PartTime> parts = profiling_.Profile(wait);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].part, PassPart::kRest);
  EXPECT_GE(parts[0].seconds, 0.003);
  EXPECT_GE(parts[0].one_thread, 0.003);
}

TEST_F(ProfilingKernelsTest, ProductsWithOtherWeightsAreAdapters) {
  const Tensor other = Tensor::Allocate(Type::kF32, {3, 4});
  const Matrix x(2, 4);
  Matrix y(2, 3);
  const std::vector<PartTime> parts =
      profiling_.Profile([&] { profiling_.MatMul(x, other, y, Store::kSet); });
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].part, PassPart::kAdapters);
}

TEST_F(ProfilingKernelsTest, EveryProfileBeginsAnewAlsoAfterAnError) {
  EXPECT_THROW(profiling_.Profile([&] {
    Logits(profiled_, tokens_);
    Fail(ErrorKind::kInternal, "stop");
  }),
               Error);
  EXPECT_EQ(profiling_.Profile([] {}).size(), 1u);
}

}  // namespace
}  // namespace longspan
