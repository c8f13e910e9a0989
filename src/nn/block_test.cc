// The whole block, forward and backward, against its twin in double precision.
#include "nn/block.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "nn/testing/block_fixture.h"

namespace longspan {
namespace {

using oracle::BlockFixture;
using oracle::BlockMeasures;
using oracle::DoubleMatrix;
using oracle::ExpectClose;
using oracle::ExpectGradient;
using oracle::kProjections;
using oracle::Probed;
using oracle::RandomMatrix;
using oracle::ReferenceContext;
using oracle::Widen;

constexpr float kEpsilon = 1e-5f;

// Rows for a block. Positions jump by 60,000 in the middle of a sequence, as with PoSE. With `documents`,
// each sequence is two or three texts.
struct Input {
  Input(std::int64_t sequences_in, std::int64_t length, std::int64_t dim, bool with_documents)
      : sequences(sequences_in),
        x(RandomMatrix(sequences * length, dim, 1)),
        probe(RandomMatrix(sequences * length, dim, 2)) {
    for (std::int64_t s = 0; s < sequences; ++s) {
      for (std::int64_t i = 0; i < length; ++i) {
        positions.push_back(static_cast<std::int32_t>(i < length / 2 ? i : i + 60000));
        if (with_documents) documents.push_back(static_cast<std::int32_t>(3 * i / length + s));
      }
    }
  }

  std::int64_t sequences;
  Matrix x, probe;
  std::vector<std::int32_t> positions, documents;
};

// One forward and one backward pass; y and dx are kept.
struct Pass {
  Pass(const Kernels& kernels, const BlockFixture& fixture, const Input& input,
       const DropoutStep& dropout = {})
      : rope(input.positions, fixture.InverseFrequencies(), 1.1, fixture.pairing()),
        context{kernels, fixture.attention(), kEpsilon, rope, input.sequences, input.documents},
        y(input.x),
        dx(input.probe) {
    context.dropout = dropout;
    fixture.MakeGradients(gradients);
    BlockForward(fixture.block, context, y, activations);
    BlockBackward(fixture.block, context, input.x, activations, dx, gradients.views);
  }

  RopeTable rope;
  BlockContext context;
  BlockActivations activations;
  Matrix y, dx;
  BlockFixture::Gradients gradients;
};

ReferenceContext ReferenceOf(const BlockFixture& fixture, const Input& input) {
  return {fixture.attention(),
          static_cast<double>(kEpsilon),
          input.positions,
          fixture.InverseFrequencies(),
          1.1,
          input.sequences,
          input.documents,
          fixture.pairing()};
}

class BlockTest : public testing::TestWithParam<std::string> {
 protected:
  const Kernels& kernels() const { return ChooseKernels(GetParam()); }

  // Compares every `stride`-th element of every gradient of one pass with finite differences.
  void CheckGradients(BlockFixture& fixture, const Input& input, const DropoutStep& dropout,
                      std::size_t stride, const std::string& what) {
    const Pass pass(kernels(), fixture, input, dropout);
    const ReferenceContext context = ReferenceOf(fixture, input);
    DoubleMatrix x = Widen(input.x);
    const auto loss = [&] { return Probed(Forward(fixture.reference, context, x), input.probe); };

    ExpectClose(pass.y, Forward(fixture.reference, context, x), 1e-5, what + "y");
    ExpectGradient(what + "dx", x, pass.dx, loss, stride);
    ExpectGradient(what + "attention norm", fixture.reference.attention_norm,
                   pass.gradients.attention_norm.span(), loss, stride);
    ExpectGradient(what + "mlp norm", fixture.reference.mlp_norm, pass.gradients.mlp_norm.span(), loss,
                   stride);
    for (std::size_t i = 0; i < kProjections.size(); ++i) {
      const std::string name = what + std::string(kProjections[i].name);
      oracle::ReferenceLinear& reference = fixture.reference.*kProjections[i].reference;
      const BlockFixture::Gradients& g = pass.gradients;
      if (g.weight[i].size() > 0)
        ExpectGradient(name + " weight", reference.weight, g.weight[i], loss, stride);
      if (g.a[i].size() == 0) continue;
      ExpectGradient(name + " a", reference.a, g.a[i], loss, stride);
      ExpectGradient(name + " b", reference.b, g.b[i], loss, stride);
    }
  }
};

TEST_P(BlockTest, EveryGradientWithGroupedQueries) {
  BlockFixture fixture({.heads = 4, .kv_heads = 2, .head_dim = 4, .dim = 6, .hidden_dim = 7});
  CheckGradients(fixture, Input(2, 5, 6, false), {}, 1, "grouped: ");
}

TEST_P(BlockTest, EveryGradientWithAHeadOfKeysForEachOfQueries) {
  BlockFixture fixture({.heads = 3, .kv_heads = 3, .head_dim = 2, .dim = 5, .hidden_dim = 8});
  CheckGradients(fixture, Input(1, 6, 5, true), {}, 1, "multi-head: ");
}

TEST_P(BlockTest, EveryGradientWithAdapters) {
  BlockFixture fixture({.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2});
  CheckGradients(fixture, Input(2, 5, 6, true), {}, 1, "adapters: ");
}

TEST_P(BlockTest, EveryGradientOfAdaptersOnAFrozenBase) {
  for (const Type type : {Type::kBF16, Type::kF16}) {
    BlockFixture fixture(
        {.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2, .type = type});
    CheckGradients(fixture, Input(2, 5, 6, true), {}, 1, std::string(Traits(type).name) + " base: ");
  }
}

// Qwen2's block. The biases are frozen, but they change all other gradients.
TEST_P(BlockTest, EveryGradientWithBiasesAndPairsOfHalves) {
  BlockFixture fixture({.heads = 4,
                        .kv_heads = 2,
                        .head_dim = 4,
                        .dim = 6,
                        .hidden_dim = 7,
                        .rank = 2,
                        .biases = true,
                        .pairing = RopePairing::kHalves});
  CheckGradients(fixture, Input(2, 5, 6, true), {}, 1, "qwen2: ");
}

// Mistral's block; documents end within windows.
TEST_P(BlockTest, EveryGradientWithAWindow) {
  for (const bool documents : {false, true}) {
    BlockFixture fixture({.heads = 4, .kv_heads = 2, .head_dim = 4, .dim = 6, .hidden_dim = 7, .window = 3});
    CheckGradients(fixture, Input(2, 9, 6, documents), {}, 1, "window: ");
  }
}

TEST_P(BlockTest, EveryGradientGivenTheDropoutMasks) {
  const DropoutStep step{true, 9, 77};
  BlockFixture fixture(
      {.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2, .dropout = 0.25f});
  fixture.FixDropout(kernels(), step, 10);
  CheckGradients(fixture, Input(2, 5, 6, true), step, 1, "dropout: ");
}

// The sequence is longer than a block of keys and spans several vectors and tiles. Only some elements are
// checked.
TEST_P(BlockTest, GradientsOfALongerSequence) {
  BlockFixture fixture({.heads = 4, .kv_heads = 1, .head_dim = 10, .dim = 20, .hidden_dim = 37, .rank = 3});
  CheckGradients(fixture, Input(1, 75, 20, true), {}, 199, "long: ");
}

TEST_P(BlockTest, GradientsAreAddedTo) {
  const BlockFixture fixture(
      {.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2});
  const Input input(2, 5, 6, false);
  const Pass once(kernels(), fixture, input);
  Pass twice(kernels(), fixture, input);
  Matrix dx = input.probe;
  BlockBackward(fixture.block, twice.context, input.x, twice.activations, dx, twice.gradients.views);
  const auto expect_twice = [](const Matrix& got, const Matrix& of, const std::string& what) {
    ExpectClose(got, oracle::Plus(Widen(of), Widen(of)), 1e-6, what);
  };
  expect_twice(twice.gradients.attention_norm, once.gradients.attention_norm, "attention norm");
  expect_twice(twice.gradients.mlp_norm, once.gradients.mlp_norm, "mlp norm");
  for (std::size_t i = 0; i < kProjections.size(); ++i) {
    const std::string name(kProjections[i].name);
    expect_twice(twice.gradients.weight[i], once.gradients.weight[i], name + " weight");
    expect_twice(twice.gradients.a[i], once.gradients.a[i], name + " a");
    expect_twice(twice.gradients.b[i], once.gradients.b[i], name + " b");
  }
}

TEST_P(BlockTest, AFrozenBlockStillPassesTheGradientOn) {
  const BlockFixture fixture(
      {.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2});
  const Input input(2, 5, 6, true);
  const Pass pass(kernels(), fixture, input);
  Matrix dx = input.probe;
  BlockBackward(fixture.block, pass.context, input.x, pass.activations, dx, {});
  EXPECT_TRUE(std::ranges::equal(dx.span(), pass.dx.span()));
}

// Training keeps only each block's input, and runs the block again before its backward pass.
TEST_P(BlockTest, RecomputingGivesTheSameBits) {
  const BlockFixture fixture(
      {.heads = 2, .kv_heads = 1, .head_dim = 4, .dim = 6, .hidden_dim = 7, .rank = 2, .dropout = 0.3f});
  const Input input(2, 5, 6, true), other(1, 90, 6, false);
  const DropoutStep step{true, 1, 3};
  const Pass first(kernels(), fixture, input, step);
  // These activations held another, larger pass before.
  Pass reused(kernels(), fixture, other, step);
  Matrix y = input.x, dx = input.probe;
  BlockFixture::Gradients gradients;
  fixture.MakeGradients(gradients);
  BlockForward(fixture.block, first.context, y, reused.activations);
  BlockBackward(fixture.block, first.context, input.x, reused.activations, dx, gradients.views);
  EXPECT_TRUE(std::ranges::equal(y.span(), first.y.span()));
  EXPECT_TRUE(std::ranges::equal(dx.span(), first.dx.span()));
  for (std::size_t i = 0; i < kProjections.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(gradients.a[i].span(), first.gradients.a[i].span()))
        << kProjections[i].name;
    EXPECT_TRUE(std::ranges::equal(gradients.b[i].span(), first.gradients.b[i].span()))
        << kProjections[i].name;
  }
  const Pass next(kernels(), fixture, input, {true, 1, 4});
  EXPECT_FALSE(std::ranges::equal(next.y.span(), first.y.span())) << "another step draws other masks";
}

TEST_P(BlockTest, ThreadsDoNotChangeResults) {
  const BlockFixture fixture(
      {.heads = 4, .kv_heads = 2, .head_dim = 8, .dim = 70, .hidden_dim = 150, .rank = 3, .dropout = 0.3f});
  const Input input(2, 75, 70, true);
  const int kept = Threads();
  SetThreads(1);
  const Pass one(kernels(), fixture, input, {true, 1, 1});
  for (int threads = 2; threads <= 4; ++threads) {
    SetThreads(threads);
    const Pass more(kernels(), fixture, input, {true, 1, 1});
    EXPECT_TRUE(std::ranges::equal(more.y.span(), one.y.span())) << threads << " threads";
    EXPECT_TRUE(std::ranges::equal(more.dx.span(), one.dx.span())) << threads << " threads";
    for (std::size_t i = 0; i < kProjections.size(); ++i) {
      EXPECT_TRUE(std::ranges::equal(more.gradients.weight[i].span(), one.gradients.weight[i].span()))
          << kProjections[i].name << ", " << threads << " threads";
    }
  }
  SetThreads(kept);
}

INSTANTIATE_TEST_SUITE_P(Isa, BlockTest, testing::ValuesIn(AvailableKernels()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace longspan
