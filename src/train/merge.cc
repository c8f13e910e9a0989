#include "train/merge.h"

#include <map>

#include "base/cancel.h"
#include "base/error.h"
#include "encode/reencode.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

// `sum` rounded to `type`. Messages call the tensor `name`.
Tensor Rounded(const Tensor& sum, Type type, const std::string& name, TooLarge too_large,
               Progress& progress) {
  Tensor rounded = Tensor::Allocate(type, sum.shape());
  const EncodingError error =
      Reencode(Type::kF32, sum.bytes(), type, rounded.mutable_bytes(), sum.rows(), sum.cols());
  try {
    CheckUnfit(error.unfit, type, too_large);
  } catch (const Error& e) {
    throw Error(e.kind(), fmt::format("base and adapter added up, tensor {}: {}", name, e.what()));
  }
  if (error.unfit.any()) {
    progress.Message(fmt::format("tensor {}: {}", name, DescribeClipped(error.unfit, type)));
  }
  return rounded;
}

}  // namespace

Weights MergeAdapter(const Weights& base, const LoraAdapter& adapter, const Kernels& kernels,
                     Progress& progress, TooLarge too_large) {
  CheckBaseLayers(adapter, base);
  Weights out = base;
  std::int64_t done = 0;
  progress.Start("merge", static_cast<std::int64_t>(adapter.pairs.size()), "projections");
  const bool tied = base.output.bytes().data() == base.embedding.bytes().data();
  std::map<WeightId, const LoraAdapter::Pair*> pairs;
  for (const LoraAdapter::Pair& pair : adapter.pairs) pairs.emplace(pair.target, &pair);
  ForEachTensor(out, tied, [&](WeightId id, Tensor& tensor) {
    const auto pair = pairs.find(id);
    if (pair == pairs.end()) return;
    ThrowIfCancelled();
    const auto& [target, a, b] = *pair->second;
    if (a.cols() != tensor.cols() || b.rows() != tensor.rows() || a.rows() != b.cols()) {
      Fail(ErrorKind::kInvalidFile, "adapter of {}: B is {} x {} and A {} x {}, the base weight is {} x {}",
           Name(target), b.rows(), b.cols(), a.rows(), a.cols(), tensor.rows(), tensor.cols());
    }
    // B A is the input gradient of "weight A" for the rows of B.
    Matrix delta(tensor.rows(), tensor.cols());
    kernels.MatMulInputGradient(b.AsRows(), a, delta, Store::kSet);
    kernels.Scale(static_cast<float>(adapter.Scale()), delta.span());
    Tensor sum = tensor.ToF32();
    kernels.Add(delta, Rows(sum.mutable_floats().data(), sum.rows(), sum.cols()));
    const Type type = IsFloat(tensor.type()) ? tensor.type() : Type::kF16;
    tensor = Rounded(sum, type, GgufName(target), too_large, progress);
    progress.Update(++done);
  });
  progress.Finish();
  if (std::cmp_not_equal(done, adapter.pairs.size())) {
    Fail(ErrorKind::kInvalidFile, "the adapter has {} projections, only {} of them are in the base",
         adapter.pairs.size(), done);
  }
  return out;
}

}  // namespace longspan
