#include "train/network.h"

#include <map>

#include "encode/encode.h"
#include "kernels/reference/reference.h"
#include "train/testing/toy.h"
#include "train/training_memory.h"

namespace longspan {
namespace {

using oracle::DoubleMatrix;

// The network in doubles, as the papers write it. It has no backward: derivatives are taken by differences.
class ReferenceNetwork {
 public:
  explicit ReferenceNetwork(const Network& network)
      : network_(network),
        tied_(network.config().tied_embeddings),
        embedding_(oracle::Widen(network.weights().embedding)),
        output_(oracle::Widen(network.weights().output)),
        output_norm_(oracle::Widen(network.transformer().output_norm())) {
    for (const Block& b : network.transformer().blocks()) {
      const auto linear = [](const Linear& l) { return oracle::ReferenceLinear(l); };
      blocks_.push_back({oracle::Widen(b.attention_norm), oracle::Widen(b.mlp_norm), linear(b.q), linear(b.k),
                         linear(b.v), linear(b.o), linear(b.gate), linear(b.up), linear(b.down)});
    }
  }

  double Loss(const Batch& batch) const {
    const LlamaConfig& c = network_.config();
    const RopeFrequencies& rope = network_.transformer().rope();
    const oracle::ReferenceContext context{network_.transformer().attention_shape(),
                                           static_cast<double>(static_cast<float>(c.norm_epsilon)),
                                           batch.positions,
                                           rope.inverse,
                                           rope.magnitude,
                                           batch.sequences,
                                           batch.documents,
                                           rope.pairing};
    DoubleMatrix x(batch.size(), c.dim);
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      std::ranges::copy(RowsOf<const double>(embedding_)[batch.tokens[i]], RowsOf<double>(x)[i].begin());
    }
    for (const oracle::ReferenceBlock& block : blocks_) x = oracle::Forward(block, context, x);
    oracle::ReferenceLinear head;
    head.weight = tied_ ? embedding_ : output_;
    const DoubleMatrix logits = head.Forward(oracle::Normed(x, output_norm_, context.norm_epsilon));
    double loss = 0;
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const std::int32_t target = batch.targets[i];
      if (target < 0) continue;
      const auto row = RowsOf<const double>(logits)[i];
      double sum = 0;
      for (const double logit : row) sum += std::exp(logit - row[target]);
      loss += std::log(sum);
    }
    return loss;
  }

  // The counterpart of a Parameter.
  std::span<double> At(const std::string& name) {
    if (name == "embedding") return embedding_.span();
    if (name == "output") return output_.span();
    if (name == "output_norm") return output_norm_;
    oracle::ReferenceBlock& block = blocks_.at(static_cast<std::size_t>(std::stoi(name.substr(7))));
    const std::string rest = name.substr(name.find('.', 7) + 1);
    if (rest == "attention_norm") return block.attention_norm;
    if (rest == "mlp_norm") return block.mlp_norm;
    const std::map<std::string, oracle::ReferenceLinear*> linears{
        {"q", &block.q},       {"k", &block.k},   {"v", &block.v},      {"o", &block.o},
        {"gate", &block.gate}, {"up", &block.up}, {"down", &block.down}};
    oracle::ReferenceLinear& linear = *linears.at(rest.substr(0, rest.find('.')));
    return (rest.ends_with(".a") ? linear.a : rest.ends_with(".b") ? linear.b : linear.weight).span();
  }

 private:
  const Network& network_;
  bool tied_;
  DoubleMatrix embedding_, output_;
  std::vector<double> output_norm_;
  std::vector<oracle::ReferenceBlock> blocks_;
};

// Two rows: PoSE's jump within one document, and two documents packed into one row. A token is seen twice,
// and one place is not scored.
Batch TrickyBatch(std::int64_t vocab_size) {
  Batch batch = RandomBatch(2, 10, vocab_size);
  for (std::size_t i = 4; i < 10; ++i) batch.positions[i] += 37;
  for (std::size_t i = 16; i < 20; ++i) {
    batch.documents[i] = 1;
    batch.positions[i] = static_cast<std::int32_t>(i) - 16;
  }
  batch.targets[15] = Batch::kIgnore;
  batch.tokens[7] = batch.tokens[2];
  return batch;
}

void ExpectGradients(Network& network, const Batch& batch, std::size_t samples = 12) {
  ReferenceNetwork reference(network);
  const double loss = reference.Loss(batch);
  EXPECT_NEAR(network.Forward(batch).sum, loss, 1e-5 * loss);
  const Loss got = network.ForwardBackward(batch, 1.0f, {});
  EXPECT_NEAR(got.sum, loss, 1e-5 * loss);
  EXPECT_EQ(got.tokens, std::ranges::count_if(batch.targets, [](std::int32_t t) { return t >= 0; }));
  for (const Parameter& p : network.parameters()) {
    const std::span<double> x = reference.At(p.name);
    const std::size_t stride = std::max<std::size_t>(1, x.size() / samples) | 1;
    oracle::ExpectGradient(
        p.name, x, p.gradient.span(), [&] { return reference.Loss(batch); }, stride);
  }
}

class NetworkGradient : public testing::TestWithParam<std::string> {};

TEST_P(NetworkGradient, OfFullTraining) {
  for (const bool tied : {false, true}) {
    SCOPED_TRACE(tied);
    LlamaConfig config = oracle::SmallConfig();
    config.tied_embeddings = tied;
    Weights weights = oracle::LivelyWeights(config, 11);
    if (tied) weights.output = weights.embedding;
    Network network(config, weights, ToyOptions(AdapterKind::kFull), ChooseKernels(GetParam()));
    EXPECT_EQ(network.parameters().size(), tied ? 20u : 21u);
    EXPECT_EQ(network.TrainedParameters(), config.Parameters());
    ExpectGradients(network, TrickyBatch(config.vocab_size));
  }
}

TEST_P(NetworkGradient, OfAdaptersOnEveryProjection) {
  const LlamaConfig config = oracle::SmallConfig();
  TrainOptions options = ToyOptions(AdapterKind::kRsLora);
  options.targets = {"q", "k", "v", "o", "gate", "up", "down"};
  Network network(config, oracle::LivelyWeights(config, 11), options, ChooseKernels(GetParam()));
  RandomiseB(network);
  ExpectGradients(network, TrickyBatch(config.vocab_size));
}

// Qwen2's biases are added, and neither trained nor lost.
TEST_P(NetworkGradient, OfAQwen2) {
  LlamaConfig config = oracle::SmallConfig();
  config.architecture = Architecture::kQwen2;
  config.attention_bias = true;
  const Weights weights = oracle::LivelyWeights(config, 11);
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    Network network(config, weights, ToyOptions(kind), ChooseKernels(GetParam()));
    if (kind == AdapterKind::kRsLora) RandomiseB(network);
    ExpectGradients(network, TrickyBatch(config.vocab_size));
    const Tensor& kept = network.weights().layers[1].k_bias;
    EXPECT_TRUE(std::ranges::equal(kept.floats(), weights.layers[1].k_bias.floats()));
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, NetworkGradient, testing::Values("reference", "auto"),
                         [](const auto& info) { return info.param; });

Weights Encoded(const Weights& weights, Type type) {
  Weights out = weights;
  ForEachTensor(out, false, [type](WeightId, Tensor& tensor) {
    if (tensor.rows() == 1) return;
    Tensor encoded = Tensor::Allocate(type, tensor.shape());
    for (std::int64_t i = 0; i < tensor.rows(); ++i) {
      EncodeRow(type, tensor.AsRows()[i].data(), encoded.mutable_bytes().data() + i * encoded.row_bytes(),
                tensor.cols(), nullptr);
    }
    tensor = encoded;
  });
  return out;
}

TEST(Network, GradientsOfAdaptersOnAQuantisedBase) {
  LlamaConfig config = oracle::SmallConfig();
  config.layers = 1;
  config.dim = 256;  // one block of a K-quant
  config.head_dim = 64;
  config.hidden_dim = 256;
  const Weights weights = oracle::LivelyWeights(config, 11);
  for (const Type type : {Type::kQ8_0, Type::kQ4_K}) {
    SCOPED_TRACE(Traits(type).name);
    Network network(config, Encoded(weights, type), ToyOptions(AdapterKind::kRsLora), ReferenceKernels());
    RandomiseB(network);
    ExpectGradients(network, TrickyBatch(config.vocab_size), 4);
  }
}

TEST(Network, RecomputingChangesNoGradient) {
  const LlamaConfig config = ToyConfig();
  const Weights weights = oracle::LivelyWeights(config, 2);
  for (const AdapterKind kind : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    TrainOptions options = ToyOptions(kind);
    options.dropout = 0.3;
    std::vector<std::vector<float>> gradients;
    for (const bool recompute : {false, true}) {
      options.recompute = recompute;
      Network network(config, weights, options, ChooseKernels("auto"));
      RandomiseB(network);
      network.ForwardBackward(TrickyBatch(config.vocab_size), 0.5f, {true, 42, 7});
      gradients.push_back(AllGradients(network));
    }
    EXPECT_EQ(gradients[0], gradients[1]);
  }
}

TEST(Network, DropoutIsDrawnByStep) {
  const LlamaConfig config = ToyConfig();
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  options.dropout = 0.5;
  Network network(config, oracle::LivelyWeights(config, 2), options, ReferenceKernels());
  RandomiseB(network);
  const Batch batch = TrickyBatch(config.vocab_size);
  const double first = network.ForwardBackward(batch, 1, {true, 42, 0}).sum;
  EXPECT_EQ(network.ForwardBackward(batch, 1, {true, 42, 0}).sum, first);
  EXPECT_NE(network.ForwardBackward(batch, 1, {true, 42, 1}).sum, first);
  EXPECT_EQ(network.ForwardBackward(batch, 1, {}).sum, network.Forward(batch).sum);
}

TEST(Network, AdaptersBeginAtTheBase) {
  const LlamaConfig config = ToyConfig();
  const Weights weights = oracle::LivelyWeights(config, 2);
  Network full(config, weights, ToyOptions(AdapterKind::kFull), ReferenceKernels());
  Network adapted(config, weights, ToyOptions(AdapterKind::kRsLora), ReferenceKernels());
  const Batch batch = TrickyBatch(config.vocab_size);
  EXPECT_EQ(adapted.Forward(batch).sum, full.Forward(batch).sum);
  for (const Parameter& p : adapted.parameters()) {
    if (p.name.ends_with(".b")) {
      EXPECT_TRUE(std::ranges::all_of(p.value.floats(), [](float x) { return x == 0; })) << p.name;
      continue;
    }
    const auto [low, high] = std::ranges::minmax(p.value.floats());
    const float bound = 1 / std::sqrt(static_cast<float>(p.value.cols()));
    EXPECT_LT(high, bound) << p.name;
    EXPECT_GT(high, 0.9f * bound) << p.name;
    EXPECT_GT(low, -bound) << p.name;
    EXPECT_LT(low, -0.9f * bound) << p.name;
  }
}

TEST(Network, ScaleIsAlphaOverRankOrItsRoot) {
  const LlamaConfig config = ToyConfig();
  const Weights weights = oracle::LivelyWeights(config, 2);
  const auto scale = [&](AdapterKind kind) {
    TrainOptions options = ToyOptions(kind);
    options.rank = 16;
    options.alpha = 8;
    const Network network(config, weights, options, ReferenceKernels());
    EXPECT_FLOAT_EQ(network.transformer().blocks()[0].q.adapter->scale,
                    static_cast<float>(network.adapter().Scale()));
    return network.adapter().Scale();
  };
  EXPECT_DOUBLE_EQ(scale(AdapterKind::kLora), 0.5);
  EXPECT_DOUBLE_EQ(scale(AdapterKind::kRsLora), 2);
}

TEST(Network, OnlyTargetsAreTrained) {
  const LlamaConfig config = ToyConfig();
  TrainOptions options = ToyOptions(AdapterKind::kLora);
  options.targets = {"v", "down"};
  const Network network(config, oracle::LivelyWeights(config, 2), options, ReferenceKernels());
  std::vector<std::string> names;
  for (const LoraAdapter::Pair& pair : network.adapter().pairs) names.push_back(Name(pair.target));
  EXPECT_EQ(names, (std::vector<std::string>{"layers.0.v", "layers.0.down", "layers.1.v", "layers.1.down"}));
  EXPECT_EQ(network.TrainedParameters(), 2 * 4 * ((16 + 32) + (32 + 48)));
}

TEST(Network, PackedDocumentsDoNotSeeEachOther) {
  const LlamaConfig config = ToyConfig();
  Network network(config, oracle::LivelyWeights(config, 2), ToyOptions(AdapterKind::kFull),
                  ChooseKernels("auto"));
  const auto second_half = [&](bool packed, std::int32_t first_token) {
    Batch batch = RandomBatch(1, 12, config.vocab_size);
    batch.tokens[1] = first_token;
    for (std::size_t i = 0; i < 12; ++i) {
      if (i < 6)
        batch.targets[i] = Batch::kIgnore;
      else if (packed)
        batch.documents[i] = 1;
    }
    return network.Forward(batch).sum;
  };
  EXPECT_EQ(second_half(true, 3), second_half(true, 4));
  EXPECT_NE(second_half(false, 3), second_half(false, 4));

  // A document in a packed row gives the same losses as alone.
  Batch alone = RandomBatch(1, 6, config.vocab_size);
  const Batch both = RandomBatch(1, 12, config.vocab_size);
  for (std::size_t i = 0; i < 6; ++i) {
    alone.tokens[i] = both.tokens[i + 6];
    alone.targets[i] = both.targets[i + 6];
    alone.positions[i] = both.positions[i + 6];
  }
  EXPECT_NEAR(network.Forward(alone).sum, second_half(true, 3), 1e-4);
}

TEST(Network, AJumpInPositionsCutsNothing) {
  const LlamaConfig config = ToyConfig();
  Network network(config, oracle::LivelyWeights(config, 2), ToyOptions(AdapterKind::kFull),
                  ChooseKernels("auto"));
  const auto after_jump = [&](std::int32_t shift, std::int32_t jump, std::int32_t first_token) {
    Batch batch = RandomBatch(1, 12, config.vocab_size);
    batch.tokens[1] = first_token;
    for (std::size_t i = 0; i < 12; ++i) {
      batch.positions[i] += shift + (i < 6 ? 0 : jump);
      if (i < 6) batch.targets[i] = Batch::kIgnore;
    }
    return network.Forward(batch).sum;
  };
  EXPECT_GT(std::abs(after_jump(0, 100, 3) - after_jump(0, 100, 4)), 1e-3);
  EXPECT_GT(std::abs(after_jump(0, 100, 3) - after_jump(0, 0, 3)), 1e-3);  // yet it is felt
  EXPECT_NEAR(after_jump(50, 100, 3), after_jump(0, 100, 3), 1e-3);        // and only distances count
}

TEST(Network, AdaptersSitOnTheChosenLayers) {
  TrainOptions options = ToyOptions(AdapterKind::kRsLora);
  options.layers = {1};
  options.lora_plus = 16;
  Network network(ToyConfig(), RandomWeights(ToyConfig(), 4), options, ReferenceKernels());
  std::int64_t values = 0;
  for (const Parameter& p : network.parameters()) {
    EXPECT_TRUE(p.name.starts_with("layers.1.")) << p.name;
    EXPECT_EQ(p.rate_factor, p.name.ends_with(".b") ? 16 : 1);
    values += p.value.elements();
  }
  EXPECT_EQ(values, TrainedParameters(ToyConfig(), options));
  EXPECT_EQ(std::ssize(network.adapter().pairs), 4);
  network.ForwardBackward(RandomBatch(1, 8, ToyConfig().vocab_size), 1, {});
  options.layers = {0, ToyConfig().layers};
  EXPECT_EQ(KindOf([&] { Network(ToyConfig(), RandomWeights(ToyConfig(), 4), options, ReferenceKernels()); }),
            ErrorKind::kBadOption);
}

}  // namespace
}  // namespace longspan
