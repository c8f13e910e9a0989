#include "train/merge.h"

#include <gmock/gmock.h>

#include <numeric>

#include "base/cancel.h"
#include "base/random.h"
#include "model/kv_cache.h"
#include "model/transformer.h"
#include "tensor/float16.h"
#include "train/testing/toy.h"

namespace longspan {
namespace {

constexpr std::int64_t kLength = 8;

TrainOptions AdapterOptions(AdapterKind kind) {
  TrainOptions options = ToyOptions(kind);
  options.targets = {"q", "k", "v", "o", "gate", "up", "down"};
  return options;
}

Weights Merged(const Weights& base, const LoraAdapter& adapter) {
  return MergeAdapter(base, adapter, ReferenceKernels(), NoProgress());
}

TEST(Merge, EqualsTheAdapterAtRunTime) {
  LlamaConfig config = ToyConfig();
  for (const bool tied : {false, true}) {
    config.tied_embeddings = tied;
    Weights base = oracle::LivelyWeights(config, 2);
    if (tied) base.output = base.embedding;
    const Batch batch = RandomBatch(1, kLength, config.vocab_size);
    for (const AdapterKind kind : {AdapterKind::kLora, AdapterKind::kRsLora}) {
      Network adapted(config, base, AdapterOptions(kind), ReferenceKernels());
      const std::vector<double> plain = LossByPlace(adapted, batch);
      RandomiseB(adapted);
      const std::vector<double> want = LossByPlace(adapted, batch);
      for (const auto& [type, tolerance] : {std::pair(Type::kF32, 1e-4), std::pair(Type::kF16, 3e-2)}) {
        const Weights merged =
            Merged(type == Type::kF32 ? base : oracle::InType(base, tied, type), adapted.adapter());
        EXPECT_EQ(merged.layers[1].down.type(), type);
        Network network(config, merged, ToyOptions(AdapterKind::kFull), ReferenceKernels());
        const std::vector<double> got = LossByPlace(network, batch);
        for (std::size_t i = 0; i < want.size(); ++i) {
          EXPECT_NEAR(got[i], want[i], tolerance) << i;
          EXPECT_GT(std::abs(want[i] - plain[i]), 1e-3);  // else the adapter does nothing
        }
      }
    }
  }
}

TEST(Merge, EmbeddingAndOutput) {
  LlamaConfig config = ToyConfig();
  const Weights base = oracle::LivelyWeights(config, 2);
  const auto ramp = [](std::int64_t rows, std::int64_t cols) {
    Tensor t = Tensor::Allocate(Type::kF32, {rows, cols});
    std::iota(t.mutable_floats().begin(), t.mutable_floats().end(), 1.0f);
    return t;
  };
  LoraAdapter adapter{1, 0.5, false, 0, "", {}};
  for (const Part part : {Part::kEmbedding, Part::kOutput}) {
    adapter.pairs.push_back({{-1, part}, ramp(1, config.dim), ramp(config.vocab_size, 1)});
  }
  const Weights merged = Merged(base, adapter);
  EXPECT_NEAR(merged.embedding.floats()[1], base.embedding.floats()[1] + 0.5f * 1 * 2, 1e-5f);
  EXPECT_NEAR(merged.output.AsRows().at(2, 3), base.output.AsRows().at(2, 3) + 0.5f * 3 * 4, 1e-5f);
}

// PEFT does not train the LM head of a tied model, so the LM head keeps the base's table, as at run time.
TEST(Merge, AnAdaptedEmbeddingPartsFromTheLmHead) {
  LlamaConfig config = ToyConfig();
  config.tied_embeddings = true;
  Weights base = oracle::LivelyWeights(config, 2);
  base.output = base.embedding;
  LoraAdapter adapter{2, 3.0, false, 0, "", {}};
  adapter.pairs.push_back({{-1, Part::kEmbedding},
                           Tensor::Allocate(Type::kF32, {2, config.dim}),
                           Tensor::Allocate(Type::kF32, {config.vocab_size, 2})});
  Random random(5, 0, RandomPurpose::kTest);
  for (float& x : adapter.pairs[0].a.mutable_floats()) x = random.Normal();
  for (float& x : adapter.pairs[0].b.mutable_floats()) x = random.Normal();
  const Weights merged = Merged(base, adapter);
  EXPECT_EQ(merged.output.bytes().data(), base.output.bytes().data());
  EXPECT_NE(merged.embedding.floats()[0], base.embedding.floats()[0]);

  Transformer unmerged(config, base, ReferenceKernels());
  unmerged.Adapt(adapter);
  config.tied_embeddings = false;
  const Transformer apart(config, merged, ReferenceKernels());
  const std::vector<std::int32_t> tokens{1, 3, 2};
  const auto logits = [&](const Transformer& model) {
    KvCache cache(config);
    Matrix hidden(std::ssize(tokens), config.dim), out(std::ssize(tokens), config.vocab_size);
    model.Forward(tokens, cache, hidden);
    model.Logits(hidden, out);
    return std::vector<float>(out.span().begin(), out.span().end());
  };
  EXPECT_THAT(logits(apart), ::testing::Pointwise(::testing::FloatNear(1e-4f), logits(unmerged)));
}

TEST(Merge, RoundsOnce) {
  const LlamaConfig config = ToyConfig();
  const Weights base = oracle::InType(oracle::LivelyWeights(config, 2), false, Type::kF16);
  Network adapted(config, base, AdapterOptions(AdapterKind::kRsLora), ReferenceKernels());
  RandomiseB(adapted);
  const LoraAdapter adapter = adapted.adapter();
  const LoraAdapter::Pair& pair = adapter.pairs.front();
  ASSERT_EQ(Name(pair.target), "layers.0.q");
  const Tensor got = Merged(base, adapter).layers[0].q.ToF32(), from = base.layers[0].q.ToF32();
  for (std::int64_t i = 0; i < got.rows(); ++i) {
    for (std::int64_t j = 0; j < got.cols(); ++j) {
      double want = from.AsRows().at(i, j);
      for (std::int64_t r = 0; r < 4; ++r) {
        want += adapter.Scale() * static_cast<double>(pair.b.AsRows().at(i, r)) *
                static_cast<double>(pair.a.AsRows().at(r, j));
      }
      // Half a unit in F16's last place, and a little for F32's sums.
      EXPECT_NEAR(got.AsRows().at(i, j), want, std::ldexp(std::abs(want), -11) + 1e-6);
    }
  }
}

TEST(Merge, AQuantisedBaseBecomesF16WhereItIsTouched) {
  const LlamaConfig config = ToyConfig();
  Weights base = oracle::LivelyWeights(config, 2);
  // Q8_0 by hand: a scale of 1/64 and 32 integers.
  Tensor q8 = Tensor::Allocate(Type::kQ8_0, {config.q_dim(), config.dim});
  for (std::int64_t i = 0; i < config.q_dim(); ++i) {
    std::byte* row = q8.mutable_bytes().data() + i * q8.row_bytes();
    const std::uint16_t scale = F32ToF16(1.0f / 64);
    std::memcpy(row, &scale, sizeof(scale));
    for (std::int64_t j = 0; j < config.dim; ++j) row[2 + j] = static_cast<std::byte>((i * 7 + j * 5) % 19);
  }
  base.layers[0].q = base.layers[1].q = q8;
  TrainOptions options = ToyOptions(AdapterKind::kRsLora);
  options.targets = {"q"};
  Network adapted(config, base, options, ReferenceKernels());
  RandomiseB(adapted);
  LoraAdapter adapter = adapted.adapter();
  adapter.pairs.pop_back();  // layers.1.q stays
  const Weights merged = Merged(base, adapter);
  EXPECT_EQ(merged.layers[0].q.type(), Type::kF16);
  EXPECT_EQ(merged.layers[1].q.type(), Type::kQ8_0);
  EXPECT_EQ(merged.layers[1].q.bytes().data(), base.layers[1].q.bytes().data());
  EXPECT_EQ(merged.layers[0].k.type(), Type::kF32);
}

TEST(Merge, RefusesWhatDoesNotFit) {
  const LlamaConfig config = ToyConfig();
  const Weights base = oracle::LivelyWeights(config, 2);
  const Network network(config, base, ToyOptions(AdapterKind::kLora), ReferenceKernels());
  const auto refused = [&](const std::function<void(LoraAdapter&)>& spoil) {
    LoraAdapter adapter = network.adapter();
    spoil(adapter);
    return KindOf([&] { Merged(base, adapter); }) == ErrorKind::kInvalidFile;
  };
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs[0].target = {2, Part::kQ}; }));
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs[0].target = {0, Part::kQBias}; }));
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs.push_back(a.pairs[0]); }));
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs[0].a = Tensor::Allocate(Type::kF32, {4, 31}); }));
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs[0].b = Tensor::Allocate(Type::kF32, {33, 4}); }));
  EXPECT_TRUE(refused([](LoraAdapter& a) { a.pairs[0].b = Tensor::Allocate(Type::kF32, {32, 5}); }));
}

// An adapter of one projection whose B A has one element that is not zero: `x`.
LoraAdapter OneElement(const LlamaConfig& config, float x) {
  LoraAdapter adapter{1, 1, false, 0, "", {}};
  Tensor a = Tensor::Allocate(Type::kF32, {1, config.dim}),
         b = Tensor::Allocate(Type::kF32, {config.q_dim(), 1});
  a.mutable_floats()[3] = 1;
  b.mutable_floats()[2] = x;
  adapter.pairs.push_back({{1, Part::kQ}, a, b});
  return adapter;
}

TEST(Merge, SumsThatAreNotFiniteAreRefusedByTensorAndCount) {
  const LlamaConfig config = ToyConfig();
  const Weights base = oracle::LivelyWeights(config, 2);
  const std::string error = ErrorOf([&] { Merged(base, OneElement(config, NAN)); });
  EXPECT_NE(error.find("tensor blk.1.attn_q.weight"), std::string::npos) << error;
  // The whole row is NaN, because 0 times NaN is NaN too.
  EXPECT_NE(error.find(fmt::format("{} NaN", config.dim)), std::string::npos) << error;
  EXPECT_EQ(KindOf([&] { Merged(base, OneElement(config, INFINITY)); }), ErrorKind::kInvalidFile);
}

TEST(Merge, SumsBeyondF16AreClippedOnlyWhereAsked) {
  const LlamaConfig config = ToyConfig();
  const Weights base = oracle::LivelyWeights(config, 2);
  EXPECT_NEAR(Merged(base, OneElement(config, 1e6f)).layers[1].q.AsRows().at(2, 3), 1e6f, 10);
  const Weights half = oracle::InType(base, false, Type::kF16);
  const LoraAdapter adapter = OneElement(config, -1e6f);
  const std::string error = ErrorOf([&] { Merged(half, adapter); });
  EXPECT_NE(error.find("1 beyond 65504"), std::string::npos) << error;
  const Weights clipped = MergeAdapter(half, adapter, ReferenceKernels(), NoProgress(), TooLarge::kClip);
  EXPECT_EQ(clipped.layers[1].q.ToF32().AsRows().at(2, 3), -65504);
  EXPECT_THROW(MergeAdapter(half, OneElement(config, NAN), ReferenceKernels(), NoProgress(), TooLarge::kClip),
               Error);
}

TEST(Merge, StopsAtCtrlC) {
  const LlamaConfig config = ToyConfig();
  const Weights base = oracle::LivelyWeights(config, 2);
  const Network network(config, base, ToyOptions(AdapterKind::kLora), ReferenceKernels());
  RequestCancel();
  EXPECT_EQ(KindOf([&] { Merged(base, network.adapter()); }), ErrorKind::kCancelled);
  ClearCancel();
}

}  // namespace
}  // namespace longspan
