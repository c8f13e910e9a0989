#include "train/network.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cancel.h"
#include "base/error.h"
#include "base/random.h"
#include "model/fingerprint.h"
#include "model/linears.h"
#include "nn/embedding.h"

namespace longspan {
namespace {

constexpr std::int64_t kBlockForwardWork = 100;  // of a token
// Writing a parameter and its moments takes as long as this many products with it: 12 bytes at 1 GB/s, while
// products run at some 100 GFLOP/s.
constexpr double kSavedTokens = 600;
// Rows that go through the LM head between two checks for Ctrl-C.
constexpr std::int64_t kHeadRows = 1024;

bool IsTied(const Weights& w) { return w.output.bytes().data() == w.embedding.bytes().data(); }

void CopyRows(ConstRows from, Rows to) {
  for (std::int64_t i = 0; i < from.rows; ++i)
    std::memcpy(to[i].data(), from[i].data(), from[i].size_bytes());
}

// Done between the parts of a pass.
void Next(const WorkListener& worked, std::int64_t work) {
  if (worked) worked(work);
  ThrowIfCancelled();
}

// Calls visit(first, rows) for the pieces of a batch that go through the LM head one by one.
template <class Visit>
void ForHeadRows(std::int64_t n, Visit&& visit) {
  for (std::int64_t first = 0; first < n; first += kHeadRows) visit(first, std::min(kHeadRows, n - first));
}

}  // namespace

Network::Network(LlamaConfig config, const Weights& base, const TrainOptions& options, const Kernels& kernels)
    : options_(options),
      base_(fmt::format("{:016x}", Fingerprint(config, base))),
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
  const bool in_bytes = options_.optimizer == OptimizerKind::kAdamW8Bit;
  Weights weights = transformer_.weights();
  // Biases stay as they are, so they are skipped.
  ForEachTensor(weights, tied_, /*biases=*/false, [&](WeightId id, Tensor& tensor) {
    parameters_.emplace_back(Name(id), tensor, in_bytes && id.part != Part::kEmbedding);
  });
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    gradients_[i].attention_norm = GradientOf(layer.attention_norm)[0];
    gradients_[i].mlp_norm = GradientOf(layer.mlp_norm)[0];
    for (const LinearPart& l : kLinears) {
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
  const std::vector<Part> targets = o.TargetParts();
  for (const std::int64_t layer : o.layers) {
    if (layer < 0 || layer >= std::ssize(gradients_)) {
      Fail(ErrorKind::kBadOption, "train.layers: layer {}, and the model has {}, counted from 0", layer,
           gradients_.size());
    }
  }
  for (std::int64_t i = 0; i < std::ssize(gradients_); ++i) {
    if (!o.Adapts(i)) continue;
    for (const LinearPart& l : kLinears) {
      if (std::ranges::find(targets, l.part) == targets.end()) continue;
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
      adapted_.push_back({i, l.part});
      const bool in_bytes = o.optimizer == OptimizerKind::kAdamW8Bit;
      parameters_.emplace_back(Name(adapted_.back()) + ".a", adapter->a, in_bytes);
      parameters_.emplace_back(Name(adapted_.back()) + ".b", adapter->b, in_bytes).rate_factor = o.lora_plus;
      (gradients_[i].*l.gradient).a = parameters_[parameters_.size() - 2].gradient;
      (gradients_[i].*l.gradient).b = parameters_.back().gradient;
      adapters_.push_back(std::move(adapter));
    }
  }
}

void Network::CheckWeights() const {
  ForEachTensor(weights(), tied_, [](WeightId id, const Tensor& tensor) {
    for (std::int64_t i = 0; i < tensor.rows(); ++i) {
      const Tensor row = Tensor(tensor.type(), {1, tensor.cols()}, tensor.row(i), nullptr).ToF32();
      if (std::ranges::all_of(row.floats(), [](float x) { return std::isfinite(x); })) continue;
      Fail(ErrorKind::kInvalidFile,
           "{}: row {} holds a value that is not a number, so the model cannot be trained; put back a whole "
           "copy",
           GgufName(id), i);
    }
  });
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
  Pass(Network& network, const Batch& batch, const DropoutStep& dropout)
      : rope(batch.positions, network.transformer_.rope().inverse, network.transformer_.rope().magnitude,
             network.transformer_.rope().pairing),
        context{network.kernels_,
                network.transformer_.attention_shape(),
                static_cast<float>(network.config().norm_epsilon),
                rope,
                batch.sequences,
                batch.documents},
        x(network.x_),
        dx(network.dx_) {
    x.Resize(batch.size(), network.config().dim);
    context.dropout = dropout;
    context.workspace = &network.workspace_;
    EmbeddingForward(network.weights().embedding, batch.tokens, x);
  }

  RopeTable rope;
  BlockContext context;
  Matrix& x;
  Matrix& dx;
};

// The loss after the last block.
Loss Network::HiddenLoss(const Batch& batch, Pass& pass, const WorkListener& worked) {
  Matrix& hidden = workspace_.dnormed;  // no block is at work
  hidden.Resize(batch.size(), config().dim);
  kernels_.RmsNorm(pass.x, transformer_.output_norm(), pass.context.norm_epsilon, hidden);
  Loss loss;
  ForHeadRows(batch.size(), [&](std::int64_t first, std::int64_t rows) {
    loss += CrossEntropyForward(kernels_, ConstRows(hidden).Slice(first, rows), weights().output,
                                std::span(batch.targets).subspan(first, rows));
    Next(worked, rows * HeadWork());
  });
  return loss;
}

// The same; pass.dx becomes the gradient of the residual stream there.
Loss Network::HiddenLossBackward(const Batch& batch, Pass& pass, float scale, const WorkListener& worked) {
  const std::int64_t n = batch.size(), dim = config().dim;
  Matrix &hidden = workspace_.dattended, &dhidden = workspace_.dnormed;  // no block is at work
  hidden.Resize(n, dim);
  dhidden.Resize(n, dim);
  kernels_.RmsNorm(pass.x, transformer_.output_norm(), pass.context.norm_epsilon, hidden);
  const Rows dhead = full() ? GradientOf(weights().output) : Rows();
  Loss loss;
  ForHeadRows(n, [&](std::int64_t first, std::int64_t rows) {
    loss += CrossEntropyBackward(kernels_, ConstRows(hidden).Slice(first, rows), weights().output,
                                 std::span(batch.targets).subspan(first, rows), scale,
                                 Rows(dhidden).Slice(first, rows), dhead);
    Next(worked, rows * HeadWork() * (full() ? 3 : 2));
  });
  pass.dx.Resize(n, dim);
  std::ranges::fill(pass.dx.span(), 0.0f);  // it is added to
  kernels_.RmsNormBackward(pass.x, transformer_.output_norm(), pass.context.norm_epsilon, dhidden, pass.dx,
                           full() ? GradientOf(weights().output_norm)[0] : std::span<float>());
  return loss;
}

Loss Network::Forward(const Batch& batch, const WorkListener& worked) {
  Pass pass(*this, batch, {});
  BlockActivations scratch;
  for (const Block& block : transformer_.blocks()) {
    BlockForward(block, pass.context, pass.x, scratch);
    Next(worked, batch.size() * kBlockForwardWork);
  }
  return HiddenLoss(batch, pass, worked);
}

Loss Network::ForwardBackward(const Batch& batch, float scale, const DropoutStep& dropout,
                              const WorkListener& worked) {
  const std::span<const Block> blocks = transformer_.blocks();
  Pass pass(*this, batch, dropout);
  inputs_.resize(blocks.size());
  activations_.resize(options_.recompute ? 1 : blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    inputs_[i].Resize(pass.x.rows(), pass.x.cols());
    CopyRows(pass.x, inputs_[i]);
    BlockForward(blocks[i], pass.context, pass.x, activations_[options_.recompute ? 0 : i]);
    Next(worked, batch.size() * kBlockForwardWork);
  }
  const Loss loss = HiddenLossBackward(batch, pass, scale, worked);
  for (std::size_t i = blocks.size(); i-- > 0;) {
    if (options_.recompute) {
      CopyRows(inputs_[i], pass.x);
      BlockForward(blocks[i], pass.context, pass.x, activations_[0]);
      Next(worked, batch.size() * kBlockForwardWork);
    }
    BlockBackward(blocks[i], pass.context, inputs_[i], activations_[options_.recompute ? 0 : i], pass.dx,
                  gradients_[i]);
    Next(worked, batch.size() * BlockBackwardWork());
  }
  if (full()) EmbeddingBackward(batch.tokens, pass.dx, GradientOf(weights().embedding));
  return loss;
}

void Network::ClearGradients() {
  for (Parameter& p : parameters_) std::ranges::fill(p.gradient.span(), 0.0f);
}

// The cost of products with so many weights, as a share of one block's: products cost in proportion to the
// weights they read.
double Network::ShareOfBlock(std::int64_t weights) const {
  std::int64_t block = 0;
  for (const LinearPart& l : kLinears) block += (transformer_.blocks().front().*l.linear).weight.elements();
  return static_cast<double>(weights) / static_cast<double>(block);
}

std::int64_t Network::HeadWork() const {
  return std::max<std::int64_t>(1,
                                std::llround(kBlockForwardWork * ShareOfBlock(weights().output.elements())));
}

// The backward pass costs as much as the forward pass where weights are frozen, and twice as much where they
// are trained.
std::int64_t Network::BlockBackwardWork() const { return kBlockForwardWork * (full() ? 2 : 1); }

std::int64_t Network::ForwardWork(std::int64_t tokens) const {
  return tokens * (config().layers * kBlockForwardWork + HeadWork());
}

std::int64_t Network::TrainWork(std::int64_t tokens) const {
  const std::int64_t block = kBlockForwardWork * (options_.recompute ? 2 : 1) + BlockBackwardWork();
  return tokens * (config().layers * block + HeadWork() * (full() ? 3 : 2));
}

std::int64_t Network::SaveWork() const {
  return std::llround(kSavedTokens * kBlockForwardWork * ShareOfBlock(TrainedParameters()));
}

}  // namespace longspan
