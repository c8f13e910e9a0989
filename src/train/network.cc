#include "train/network.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/random.h"
#include "nn/embedding.h"

namespace longspan {
namespace {

bool IsTied(const Weights& w) { return w.output.bytes().data() == w.embedding.bytes().data(); }

void CopyRows(ConstRows from, Rows to) {
  for (std::int64_t i = 0; i < from.rows; ++i)
    std::memcpy(to[i].data(), from[i].data(), from[i].size_bytes());
}

}  // namespace

Network::Network(LlamaConfig config, const Weights& base, const TrainOptions& options, const Kernels& kernels)
    : options_(options),
      kernels_(kernels),
      transformer_(std::move(config), options.adapter == AdapterKind::kFull ? ToF32(base) : base, kernels),
      tied_(IsTied(transformer_.weights())),
      gradients_(transformer_.blocks().size()) {
  if (options.adapter == AdapterKind::kFull)
    TrainAll();
  else
    AddAdapters(options);
}

void Network::TrainAll() {
  Weights weights = transformer_.weights();
  // Biases stay as they are, so they are passed over.
  ForEachTensor(weights, tied_, /*biases=*/false,
                [&](const std::string& name, Tensor& tensor) { parameters_.emplace_back(name, tensor); });
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    gradients_[i].attention_norm = GradientOf(layer.attention_norm)[0];
    gradients_[i].mlp_norm = GradientOf(layer.mlp_norm)[0];
    for (const NamedLinear& l : kLinears) {
      (gradients_[i].*l.gradient).weight = GradientOf((transformer_.blocks()[i].*l.linear).weight);
    }
  }
}

Rows Network::GradientOf(const Tensor& value) {
  for (Parameter& p : parameters_) {
    if (p.value.bytes().data() == value.bytes().data()) return p.gradient;
  }
  return {};
}

void Network::AddAdapters(const TrainOptions& o) {
  const double rank = static_cast<double>(o.rank);
  const auto scale =
      static_cast<float>(o.alpha / (o.adapter == AdapterKind::kRsLora ? std::sqrt(rank) : rank));
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    for (const NamedLinear& l : kLinears) {
      if (std::ranges::find(o.targets, l.name) == o.targets.end()) continue;
      Linear& linear = transformer_.mutable_blocks()[i].*l.linear;
      auto adapter = std::make_unique<Adapter>();
      adapter->stream = adapters_.size();
      adapter->scale = scale;
      adapter->dropout = static_cast<float>(o.dropout);
      adapter->a = Tensor::Allocate(Type::kF32, {o.rank, linear.weight.cols()});
      adapter->b = Tensor::Allocate(Type::kF32, {linear.weight.rows(), o.rank});
      // Kaiming-uniform with a = sqrt(5), PEFT's initialisation: U(-1 / sqrt(in), 1 / sqrt(in)).
      Random random(o.seed, adapter->stream, RandomPurpose::kInit);
      const double bound = 1 / std::sqrt(static_cast<double>(linear.weight.cols()));
      for (float& x : adapter->a.mutable_floats()) x = static_cast<float>(bound * (2 * random.Uniform() - 1));
      linear.adapter = adapter.get();
      adapted_.push_back(fmt::format("layers.{}.{}", i, l.name));
      parameters_.emplace_back(adapted_.back() + ".a", adapter->a);
      parameters_.emplace_back(adapted_.back() + ".b", adapter->b);
      (gradients_[i].*l.gradient).a = parameters_[parameters_.size() - 2].gradient;
      (gradients_[i].*l.gradient).b = parameters_.back().gradient;
      adapters_.push_back(std::move(adapter));
    }
  }
}

std::int64_t Network::TrainedParameters() const {
  std::int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.value.elements();
  return n;
}

LoraAdapter Network::adapter() const {
  LoraAdapter out;
  out.rank = options_.rank;
  out.alpha = options_.alpha;
  out.rslora = options_.adapter == AdapterKind::kRsLora;
  out.dropout = options_.dropout;
  for (std::size_t i = 0; i < adapters_.size(); ++i)
    out.pairs.push_back({adapted_[i], adapters_[i]->a, adapters_[i]->b});
  return out;
}

struct Network::Pass {
  Pass(const Network& network, const Batch& batch, const DropoutStep& dropout)
      : rope(batch.positions, network.transformer_.rope().inverse, network.transformer_.rope().magnitude,
             network.transformer_.rope().pairing),
        context{network.kernels_,
                network.transformer_.attention_shape(),
                static_cast<float>(network.config().norm_epsilon),
                rope,
                batch.sequences,
                batch.documents},
        x(batch.size(), network.config().dim) {
    context.dropout = dropout;
    EmbeddingForward(network.weights().embedding, batch.tokens, x);
  }

  RopeTable rope;
  BlockContext context;
  Matrix x;   // the residual stream
  Matrix dx;  // its gradient
};

// The loss after the last block; with `backward`, pass.dx becomes the gradient of the residual stream there.
Loss Network::HiddenLoss(const Batch& batch, Pass& pass, bool backward, float scale) {
  const std::int64_t n = batch.size(), dim = config().dim;
  const Weights& w = weights();
  Matrix hidden(n, dim);
  kernels_.RmsNorm(pass.x, transformer_.output_norm(), pass.context.norm_epsilon, hidden);
  if (!backward) return CrossEntropyForward(kernels_, hidden, w.output, batch.targets);
  Matrix dhidden(n, dim);
  const Loss loss = CrossEntropyBackward(kernels_, hidden, w.output, batch.targets, scale, dhidden,
                                         full() ? GradientOf(w.output) : Rows());
  pass.dx = Matrix(n, dim);
  kernels_.RmsNormBackward(pass.x, transformer_.output_norm(), pass.context.norm_epsilon, dhidden, pass.dx,
                           full() ? GradientOf(w.output_norm)[0] : std::span<float>());
  return loss;
}

Loss Network::Forward(const Batch& batch) {
  Pass pass(*this, batch, {});
  BlockActivations scratch;
  for (const Block& block : transformer_.blocks()) BlockForward(block, pass.context, pass.x, scratch);
  return HiddenLoss(batch, pass, false, 0);
}

Loss Network::ForwardBackward(const Batch& batch, float scale, const DropoutStep& dropout) {
  const std::span<const Block> blocks = transformer_.blocks();
  Pass pass(*this, batch, dropout);
  inputs_.resize(blocks.size());
  activations_.resize(options_.recompute ? 1 : blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    inputs_[i].Resize(pass.x.rows(), pass.x.cols());
    CopyRows(pass.x, inputs_[i]);
    BlockForward(blocks[i], pass.context, pass.x, activations_[options_.recompute ? 0 : i]);
  }
  const Loss loss = HiddenLoss(batch, pass, true, scale);
  for (std::size_t i = blocks.size(); i-- > 0;) {
    if (options_.recompute) {
      CopyRows(inputs_[i], pass.x);
      BlockForward(blocks[i], pass.context, pass.x, activations_[0]);
    }
    BlockBackward(blocks[i], pass.context, inputs_[i], activations_[options_.recompute ? 0 : i], pass.dx,
                  gradients_[i]);
  }
  if (full()) EmbeddingBackward(batch.tokens, pass.dx, GradientOf(weights().embedding));
  return loss;
}

}  // namespace longspan
