#include "model/adapter.h"

#include "base/error.h"
#include "tensor/codec.h"

namespace longspan {
namespace {

// The largest difference between weights and the same ones quantised, as a share of their size. Types of two
// bits come near it; the weights of another model differ by more than 1.
constexpr double kQuantizedDifference = 0.5;
constexpr double kSmallest = 6e-8;  // F16's steps near zero

// How far conversion to a float type moves a value at most, relative to it: to BF16 by rounding to the
// nearest, to F16 and F32 also by truncation.
double RoundingOf(Type type) { return type == Type::kBF16 ? 0x1p-8 : type == Type::kF16 ? 0x1p-10 : 0x1p-23; }

bool IsSame(const Tensor& given, const Tensor& base) {
  if (given.rows() != base.rows() || given.cols() != base.cols()) return false;
  const bool exact = IsFloat(base.type());
  const double rounding = exact ? std::max(RoundingOf(given.type()), RoundingOf(base.type())) : 0;
  std::vector<float> x(given.cols()), y(given.cols());
  double difference = 0, size = 0;
  for (std::int64_t row = 0; row < given.rows(); ++row) {
    DecodeRow(given.type(), given.row(row).data(), x.data(), given.cols());
    DecodeRow(base.type(), base.row(row).data(), y.data(), given.cols());
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double d = double{x[j]} - double{y[j]};
      const bool near = std::abs(d) <= rounding * std::abs(y[j]) + kSmallest;
      if (exact && !near) return false;
      difference += d * d;
      size += double{y[j]} * double{y[j]};
    }
  }
  return std::sqrt(difference) <= kQuantizedDifference * std::sqrt(size);
}

}  // namespace

void CheckBaseLayers(const LoraAdapter& adapter, const Weights& base) {
  for (const LoraAdapter::BaseLayer& layer : adapter.base_layers) {
    const Tensor& own = layer.target.part == Part::kOutput ? base.output : base.embedding;
    if (IsSame(layer.weight, own)) continue;
    Fail(ErrorKind::kInvalidFile,
         "{}: differs from the base's {}: the adapter belongs to another base, or the layer was trained as a "
         "whole; merge it with PEFT, and convert the result",
         layer.where, Name(layer.target));
  }
}

}  // namespace longspan
