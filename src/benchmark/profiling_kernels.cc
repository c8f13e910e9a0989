#include "benchmark/profiling_kernels.h"

namespace longspan {

std::string_view Name(PassPart part) {
  switch (part) {
    case PassPart::kNorms: return "norms";
    case PassPart::kQkv: return "q, k, v";
    case PassPart::kRope: return "RoPE";
    case PassPart::kStoreKv: return "storing k, v";
    case PassPart::kAttention: return "attention";
    case PassPart::kAttentionOutput: return "o";
    case PassPart::kGateUp: return "gate, up";
    case PassPart::kSwiGlu: return "SwiGLU";
    case PassPart::kDown: return "down";
    case PassPart::kLogits: return "logits";
    case PassPart::kAdapters: return "adapters, biases";
    case PassPart::kRest: return "rest";
  }
  return "?";
}

ProfilingKernels::ProfilingKernels(const Kernels& kernels, const Weights& weights) : kernels_(kernels) {
  for (const LayerWeights& layer : weights.layers) {
    part_of_[layer.q.bytes().data()] = PassPart::kQkv;
    part_of_[layer.o.bytes().data()] = PassPart::kAttentionOutput;
    part_of_[layer.gate.bytes().data()] = PassPart::kGateUp;
    part_of_[layer.down.bytes().data()] = PassPart::kDown;
  }
  part_of_[weights.output.bytes().data()] = PassPart::kLogits;
}

PassPart ProfilingKernels::PartOf(const Tensor& weight) const {
  const auto found = part_of_.find(weight.bytes().data());
  return found == part_of_.end() ? PassPart::kAdapters : found->second;
}

std::vector<PartTime> ProfilingKernels::Profile(FunctionRef<void()> work) {
  for (std::size_t i = 0; i < kPassParts; ++i) times_[i] = {static_cast<PassPart>(i)};
  watch_.emplace();
  PartTime rest{PassPart::kRest};
  try {
    rest.seconds = SecondsOf(work);
  } catch (...) {
    watch_.reset();
    throw;
  }
  rest.one_thread = rest.seconds - watch_->seconds();
  watch_.reset();

  std::vector<PartTime> taken;
  for (const PartTime& time : times_) {
    rest.seconds -= time.seconds;
    rest.one_thread -= time.one_thread;
    if (time.seconds > 0) taken.push_back(time);
  }
  taken.push_back(rest);
  return taken;
}

}  // namespace longspan
