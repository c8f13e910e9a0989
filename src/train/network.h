// A model in training: a transformer, the parameters that change, and the walk forward and back.
#pragma once

#include <memory>
#include <vector>

#include "model/adapter.h"
#include "model/batch.h"
#include "model/transformer.h"
#include "nn/cross_entropy.h"
#include "train/options.h"
#include "train/parameter.h"

namespace longspan {

class Network {
 public:
  // With AdapterKind::kFull every weight is decoded to F32 and trained. Otherwise the base stays as it is, in
  // whatever type, and each target of options.targets gets an adapter: A uniform within 1 / sqrt(in), B zero,
  // so that training begins at the base.
  Network(LlamaConfig config, const Weights& base, const TrainOptions& options, const Kernels& kernels);

  // Runs the batch forward and back; gradients of the loss's sum times `scale` are added to the parameters'.
  Loss ForwardBackward(const Batch& batch, float scale, const DropoutStep& dropout);
  // The loss alone.
  Loss Forward(const Batch& batch);

  std::span<Parameter> parameters() { return parameters_; }
  const LlamaConfig& config() const { return transformer_.config(); }
  const Transformer& transformer() const { return transformer_; }
  std::int64_t TrainedParameters() const;
  bool full() const { return adapters_.empty(); }

  // The result: weights where all were trained, an adapter otherwise. Both share memory with the parameters.
  const Weights& weights() const { return transformer_.weights(); }
  LoraAdapter adapter() const;

 private:
  struct Pass;  // what one batch needs on its way

  void AddAdapters(const TrainOptions& options);
  void TrainAll();
  Rows GradientOf(const Tensor& value);
  Loss HiddenLoss(const Batch& batch, Pass& pass, bool backward, float scale);

  TrainOptions options_;
  const Kernels& kernels_;
  Transformer transformer_;
  bool tied_;
  std::vector<std::unique_ptr<Adapter>> adapters_;  // blocks point to them
  std::vector<std::string> adapted_;                // their targets, "layers.3.q"
  std::vector<Parameter> parameters_;
  std::vector<BlockGradient> gradients_;  // a view of the parameters' gradients for each block
  // Kept between batches, for they are large and equal in size.
  std::vector<Matrix> inputs_;
  std::vector<BlockActivations> activations_;
};

}  // namespace longspan
