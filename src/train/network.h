// A model in training: a transformer, the parameters that change, and the walk forward and back.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/batch.h"
#include "model/transformer.h"
#include "nn/cross_entropy.h"
#include "train/options.h"
#include "train/parameter.h"

namespace longspan {

// Called after each part of a pass, such as a layer, with its work, in the units of Network::TrainWork.
using WorkListener = std::function<void(std::int64_t work)>;

class Network {
 public:
  // With AdapterKind::kFull every weight is decoded to F32 and trained. Otherwise the base stays as it is, in
  // whatever type, and each target of options.targets gets an adapter: A uniform within 1 / sqrt(in), B zero,
  // so that training begins at the base.
  Network(LlamaConfig config, const Weights& base, const TrainOptions& options, const Kernels& kernels);

  // Runs the batch forward and back; gradients of the loss's sum times `scale` are added to the parameters'.
  // Ctrl-C is checked for between layers: Error(kCancelled), and the gradients are then useless.
  Loss ForwardBackward(const Batch& batch, float scale, const DropoutStep& dropout,
                       const WorkListener& worked = {});
  // The loss alone.
  Loss Forward(const Batch& batch, const WorkListener& worked = {});
  void ClearGradients();

  // The costs of ForwardBackward and Forward for a batch of so many tokens, without attention. A unit is a
  // hundredth of what a token costs in a block's forward pass.
  std::int64_t TrainWork(std::int64_t tokens) const;
  std::int64_t ForwardWork(std::int64_t tokens) const;
  // The cost of a checkpoint. Only an estimate, because it depends on the disk.
  std::int64_t SaveWork() const;

  // Error(kInvalidFile) that names a weight of which a value is no number, if there is one. Reads all of
  // them.
  void CheckWeights() const;

  std::span<Parameter> parameters() { return parameters_; }
  const LlamaConfig& config() const { return transformer_.config(); }
  const Transformer& transformer() const { return transformer_; }
  std::int64_t TrainedParameters() const;
  const std::string& base() const { return base_; }  // a digest of the weights that training began with
  bool full() const { return adapters_.empty(); }

  // The result: weights where all were trained, an adapter otherwise. Both share memory with the parameters.
  const Weights& weights() const { return transformer_.weights(); }
  LoraAdapter adapter() const;

 private:
  struct Pass;  // buffers of one batch

  void AddAdapters(const TrainOptions& options);
  void TrainAll();
  Rows GradientOf(const Tensor& value);
  Loss HiddenLoss(const Batch& batch, Pass& pass, const WorkListener& worked);
  Loss HiddenLossBackward(const Batch& batch, Pass& pass, float scale, const WorkListener& worked);
  double ShareOfBlock(std::int64_t weights) const;
  std::int64_t HeadWork() const;           // of a token
  std::int64_t BlockBackwardWork() const;  // the same

  TrainOptions options_;
  std::string base_;
  const Kernels& kernels_;
  Transformer transformer_;
  bool tied_;
  std::vector<std::unique_ptr<Adapter>> adapters_;  // blocks point to them
  std::vector<WeightId> adapted_;                   // their targets
  std::vector<Parameter> parameters_;
  std::vector<BlockGradient> gradients_;  // a view of the parameters' gradients for each block
  // Kept between batches, because they are large and equal in size.
  BlockWorkspace workspace_;
  Matrix x_, dx_;  // the residual stream and its gradient
  std::vector<Matrix> inputs_;
  std::vector<BlockActivations> activations_;
};

}  // namespace longspan
