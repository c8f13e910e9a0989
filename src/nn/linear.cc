#include "nn/linear.h"

#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"

namespace longspan {
namespace {

// y = x with each element dropped with probability p, and the rest scaled by 1 / (1 - p). Each row draws a
// stream of its own, so threads do not matter. y may be x.
void Dropout(const Adapter& adapter, const DropoutStep& step, ConstRows x, Rows y) {
  const float keep = 1.0f - adapter.dropout, scale = 1.0f / keep;
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(keep) * 0xffffffffu);
  ParallelFor(x.rows, [&](std::int64_t i) {
    Random random(step.seed ^ adapter.stream * 0x9E3779B97F4A7C15u,
                  step.step << 24 ^ static_cast<std::uint64_t>(i), RandomPurpose::kDropout);
    for (std::int64_t j = 0; j < x.cols; ++j)
      y.at(i, j) = random.Next() <= threshold ? x.at(i, j) * scale : 0.0f;
  });
}

bool Drops(const Adapter& adapter, const DropoutStep& step) { return step.active && adapter.dropout > 0; }

// The adapter's input: x itself, or a copy in `storage` with dropout.
ConstRows AdapterInput(const Adapter& adapter, const DropoutStep& step, ConstRows x, Matrix& storage) {
  if (!Drops(adapter, step)) return x;
  storage.Resize(x.rows, x.cols);
  Dropout(adapter, step, x, storage);
  return storage;
}

// What comes to the weight's own product: bias and adapter.
void AddBiasAndAdapter(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout, ConstRows x,
                       Rows y, LinearWorkspace& workspace) {
  // The bias is added as a matrix whose rows are all the same.
  if (!linear.bias.empty()) kernels.Add(ConstRows(linear.bias.data(), y.rows, y.cols, 0), y);
  if (linear.adapter == nullptr) return;
  const Adapter& adapter = *linear.adapter;
  Matrix& inner = workspace.inner;
  inner.Resize(x.rows, adapter.a.rows());
  kernels.MatMul(AdapterInput(adapter, dropout, x, workspace.input), adapter.a, inner, Store::kSet);
  kernels.Scale(adapter.scale, inner.span());
  kernels.MatMul(inner, adapter.b, y, Store::kAdd);
}

}  // namespace

void LinearForward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout, ConstRows x,
                   Rows y, Store store, LinearWorkspace& workspace) {
  kernels.MatMul(x, linear.weight, y, store);
  AddBiasAndAdapter(kernels, linear, dropout, x, y, workspace);
}

void LinearsForward(const Kernels& kernels, std::span<const LinearOutput> layers, const DropoutStep& dropout,
                    ConstRows x, LinearWorkspace& workspace) {
  std::vector<Product> products;
  products.reserve(layers.size());
  for (const LinearOutput& l : layers) products.push_back({&l.linear.weight, l.y, Store::kSet});
  kernels.MatMuls(x, products);
  for (const LinearOutput& l : layers) AddBiasAndAdapter(kernels, l.linear, dropout, x, l.y, workspace);
}

void LinearBackward(const Kernels& kernels, const Linear& linear, const DropoutStep& dropout, ConstRows x,
                    ConstRows dy, Rows dx, Store store, const LinearGradient& gradient,
                    LinearWorkspace& workspace) {
  kernels.MatMulInputGradient(dy, linear.weight, dx, store);
  if (gradient.weight.data != nullptr) kernels.MatMulWeightGradient(dy, x, gradient.weight);
  if (linear.adapter == nullptr) return;
  const Adapter& adapter = *linear.adapter;

  Matrix& inner = workspace.inner;
  inner.Resize(x.rows, adapter.a.rows());
  const ConstRows input = AdapterInput(adapter, dropout, x, workspace.input);
  if (gradient.b.data != nullptr) {
    kernels.MatMul(input, adapter.a, inner, Store::kSet);
    kernels.Scale(adapter.scale, inner.span());
    kernels.MatMulWeightGradient(dy, inner, gradient.b);
  }
  kernels.MatMulInputGradient(dy, adapter.b, inner, Store::kSet);
  kernels.Scale(adapter.scale, inner.span());
  if (gradient.a.data != nullptr) kernels.MatMulWeightGradient(inner, input, gradient.a);
  if (!Drops(adapter, dropout)) return kernels.MatMulInputGradient(inner, adapter.a, dx, Store::kAdd);
  // The gradient passes through the same mask as the input did.
  Matrix& dinput = workspace.dinput;
  dinput.Resize(x.rows, x.cols);
  kernels.MatMulInputGradient(inner, adapter.a, dinput, Store::kSet);
  Dropout(adapter, dropout, dinput, dinput);
  kernels.Add(dinput, dx);
}

}  // namespace longspan
