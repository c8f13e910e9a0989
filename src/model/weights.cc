#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/huge_pages.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

void CheckTensor(const Tensor& tensor, std::int64_t rows, std::int64_t cols, std::string_view where,
                 std::string_view name) {
  if (tensor.empty()) Fail(ErrorKind::kInvalidFile, "{}: tensor {} is missing", where, name);
  if (tensor.rows() != rows || tensor.cols() != cols) {
    Fail(ErrorKind::kInvalidFile, "{}: tensor {} is {} x {}, expected {} x {}", where, name, tensor.rows(),
         tensor.cols(), rows, cols);
  }
  if (!CanDecode(tensor.type())) {
    Fail(ErrorKind::kUnsupported, "{}: tensor {} has type {}, which longspan does not compute with", where,
         name, Traits(tensor.type()).name);
  }
}

Tensor Normal(const InitialTensor& tensor, std::uint64_t seed, std::uint64_t stream) {
  Tensor drawn = Tensor::Allocate(Type::kF32, tensor.shape);
  Random random(seed, stream, RandomPurpose::kInit);
  for (float& x : drawn.mutable_floats()) x = static_cast<float>(tensor.deviation) * random.Normal();
  return drawn;
}

// Whether one tensor is both embedding and output.
bool IsTied(const Weights& weights) {
  return weights.output.bytes().data() == weights.embedding.bytes().data();
}

// Visits the tensors that decoding reads as a whole.
template <class W, class Visitor>
void ForEachDecoded(W& weights, Visitor&& visit) {
  ForEachTensor(weights, /*tied=*/true, [&](WeightId id, auto& tensor) {
    if (id.part != Part::kEmbedding) visit(tensor);
  });
  visit(weights.output);
}

// The bytes that a tensor takes in huge pages, in whole cache lines.
std::size_t PlaceFor(const Tensor& tensor, const Kernels& kernels) {
  const auto packed = static_cast<std::size_t>(kernels.PackedBytes(tensor));
  const std::size_t bytes = packed > 0 ? packed : tensor.bytes().size();
  return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

void CopyInPieces(std::span<const std::byte> from, std::span<std::byte> to) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;  // bytes that a thread copies at a time
  ParallelFor(static_cast<std::int64_t>((from.size() + kPiece - 1) / kPiece), [&](std::int64_t piece) {
    const std::size_t at = static_cast<std::size_t>(piece) * kPiece;
    std::memcpy(to.data() + at, from.data() + at, std::min(kPiece, from.size() - at));
  });
}

Tensor Ones(const std::vector<std::int64_t>& shape) {
  Tensor tensor = Tensor::Allocate(Type::kF32, shape);
  for (float& x : tensor.mutable_floats()) x = 1.0f;
  return tensor;
}

void CheckFinite(WeightId id, const Tensor& tensor) {
  if (tensor.type() == Type::kF32) return;
  const std::uint16_t exponent = tensor.type() == Type::kF16 ? 0x7c00 : 0x7f80;
  const auto* values = reinterpret_cast<const std::uint16_t*>(tensor.bytes().data());
  const std::int64_t bad = std::count_if(values, values + tensor.elements(), [exponent](std::uint16_t bits) {
    return (bits & exponent) == exponent;
  });
  if (bad == 0) return;
  Fail(ErrorKind::kInvalidFile, "weight {}: {} of {} values are NaN or beyond what {} holds", Name(id), bad,
       tensor.elements(), Traits(tensor.type()).name);
}

}  // namespace

void Weights::Validate(const LlamaConfig& c, std::string_view where) const {
  if (!rope_factors.empty()) CheckTensor(rope_factors, 1, c.head_dim / 2, where, "rope_factors");
  if (std::cmp_not_equal(layers.size(), c.layers)) {
    Fail(ErrorKind::kInvalidFile, "{}: {} layers, expected {}", where, layers.size(), c.layers);
  }
  ForEachTensor(*this, /*tied=*/false, /*biases=*/true, [&](WeightId id, const Tensor& tensor) {
    const PartTraits& traits = Traits(id.part);
    if (traits.kind != PartKind::kBias || c.attention_bias) {
      CheckTensor(tensor, traits.rows(c), traits.cols(c), where, Name(id));
    } else if (!tensor.empty()) {
      Fail(ErrorKind::kInvalidFile, "{}: a bias in layer {} of a model without biases", where, id.layer);
    }
  });
}

std::vector<InitialTensor> InitialTensors(const LlamaConfig& c) {
  const double residual = kInitialDeviation / std::sqrt(2.0 * static_cast<double>(c.layers));
  std::vector<InitialTensor> tensors;
  const auto add = [&](std::int64_t layer) {
    for (const PartTraits& traits : AllParts()) {
      if (traits.in_layer != (layer >= 0)) continue;
      if (traits.kind == PartKind::kBias && !c.attention_bias) continue;
      if (traits.part == Part::kOutput && c.tied_embeddings) continue;
      const double deviation = traits.kind == PartKind::kNorm                          ? 0
                               : traits.part == Part::kO || traits.part == Part::kDown ? residual
                                                                                       : kInitialDeviation;
      tensors.push_back({{layer, traits.part}, traits.Shape(c), deviation});
    }
  };
  for (std::int64_t layer = -1; layer < c.layers; ++layer) add(layer);
  return tensors;
}

Weights RandomWeights(const LlamaConfig& c, std::uint64_t seed) {
  std::map<WeightId, Tensor> tensors;
  std::uint64_t stream = 0;
  for (const InitialTensor& tensor : InitialTensors(c)) {
    tensors[tensor.id] = tensor.deviation > 0 ? Normal(tensor, seed, stream++) : Ones(tensor.shape);
  }
  Weights w;
  w.layers.resize(c.layers);
  ForEachTensor(w, c.tied_embeddings, c.attention_bias,
                [&](WeightId id, Tensor& tensor) { tensor = tensors.at(id); });
  if (c.tied_embeddings) w.output = w.embedding;
  return w;
}

Weights ToF32(const Weights& weights) { return ToFloat(weights, Type::kF32); }

Weights ToFloat(const Weights& weights, Type type) {
  const bool tied = IsTied(weights);
  Weights out = weights;
  ForEachTensor(out, tied, [type](WeightId id, Tensor& tensor) {
    tensor = tensor.ToFloat(tensor.shape().size() > 1 ? type : Type::kF32);
    CheckFinite(id, tensor);
  });
  if (tied) out.output = out.embedding;
  return out;
}

std::size_t HugePageBytes(const Weights& weights, const Kernels& kernels) {
  std::size_t size = 0;
  ForEachDecoded(weights, [&](const Tensor& tensor) { size += PlaceFor(tensor, kernels); });
  return size;
}

Weights InHugePages(const Weights& weights, const Kernels& kernels) {
  const auto pages = std::make_shared<const HugePages>(HugePageBytes(weights, kernels));
  Weights out = weights;
  std::size_t at = 0;
  ForEachDecoded(out, [&](Tensor& tensor) {
    const std::span<std::byte> to = pages->bytes().subspan(at, PlaceFor(tensor, kernels));
    at += to.size();
    if (kernels.PackedBytes(tensor) > 0) return tensor.SetPacking(kernels.Pack(tensor, to, pages));
    CopyInPieces(tensor.bytes(), to);
    tensor = Tensor(tensor.type(), tensor.shape(), to.first(tensor.bytes().size()), pages);
  });
  if (IsTied(weights)) out.embedding = out.output;
  return out;
}

}  // namespace longspan
