// One transformer block in double precision, for tests: the forward pass of nn/block.h as the paper writes
// it, built from the oracle's templates. Its derivatives are finite differences, so there is no backward pass
// that could be wrong.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/attention_views.h"
#include "kernels/reference/reference.h"
#include "nn/linear.h"
#include "nn/testing/double_matrix.h"

namespace longspan::oracle {

struct ReferenceLinear {
  DoubleMatrix weight;       // [out, in]
  std::vector<double> bias;  // [out] or empty
  DoubleMatrix a, b;         // [r, in], [out, r]; empty without an adapter
  double scale = 0;
  DoubleMatrix mask;  // [n, in], multiplies the adapter's input: a fixed dropout mask, or empty

  ReferenceLinear() = default;
  explicit ReferenceLinear(const Linear& linear) : weight(Widen(linear.weight)), bias(Widen(linear.bias)) {
    if (linear.adapter == nullptr) return;
    a = Widen(linear.adapter->a);
    b = Widen(linear.adapter->b);
    scale = static_cast<double>(linear.adapter->scale);
  }

  DoubleMatrix Forward(const DoubleMatrix& x) const {
    DoubleMatrix y(x.rows(), weight.rows());
    reference::MatMul<double>(x, weight, y, Store::kSet);
    for (std::size_t i = 0; !bias.empty() && i < y.span().size(); ++i) y.span()[i] += bias[i % bias.size()];
    if (a.empty()) return y;
    DoubleMatrix input = x, inner(x.rows(), a.rows());
    for (std::size_t i = 0; i < mask.span().size(); ++i) input.span()[i] *= mask.span()[i];
    reference::MatMul<double>(input, a, inner, Store::kSet);
    for (double& v : inner.span()) v *= scale;
    reference::MatMul<double>(inner, b, y, Store::kAdd);
    return y;
  }
};

struct ReferenceBlock {
  std::vector<double> attention_norm, mlp_norm;
  ReferenceLinear q, k, v, o, gate, up, down;
};

// The contents of BlockContext, with positions instead of a table of angles.
struct ReferenceContext {
  AttentionShape attention;
  double norm_epsilon;
  std::vector<std::int32_t> positions;  // of each row of x
  std::vector<double> inverse_frequencies;
  double magnitude = 1;
  std::int64_t sequences = 1;
  std::vector<std::int32_t> documents = {};  // of each row of x, or empty
  RopePairing pairing = RopePairing::kNeighbours;
};

inline DoubleMatrix Turned(const ReferenceContext& c, DoubleMatrix x) {
  const auto pairs = static_cast<std::int64_t>(c.inverse_frequencies.size());
  DoubleMatrix cos(x.rows(), pairs), sin(x.rows(), pairs);
  for (std::size_t i = 0, at = 0; i < c.positions.size(); ++i) {
    for (const double inverse : c.inverse_frequencies) {
      cos.span()[at] = std::cos(c.positions[i] * inverse) * c.magnitude;
      sin.span()[at++] = std::sin(c.positions[i] * inverse) * c.magnitude;
    }
  }
  reference::Rope<double>(x, c.attention.head_dim, c.pairing, cos, sin, false);
  return x;
}

inline DoubleMatrix Normed(const DoubleMatrix& x, const std::vector<double>& weight, double epsilon) {
  DoubleMatrix y(x.rows(), x.cols());
  reference::RmsNorm<double>(x, weight, epsilon, y);
  return y;
}

inline DoubleMatrix Attended(const ReferenceContext& c, const DoubleMatrix& q, const DoubleMatrix& k,
                             const DoubleMatrix& v) {
  DoubleMatrix out(q.rows(), q.cols());
  const std::int64_t length = q.rows() / c.sequences;
  for (std::int64_t s = 0; s < c.sequences; ++s) {
    const auto rows = [&](const DoubleMatrix& m) {
      return RowsOf<const double>(m).Slice(s * length, length);
    };
    const auto element = [&](RowsOf<const double> of) {
      return [of, &c](std::int64_t kv_head, std::int64_t j, std::int64_t d) {
        return of.at(j, kv_head * c.attention.head_dim + d);
      };
    };
    std::span<const std::int32_t> documents = c.documents;
    if (!documents.empty()) {
      documents = documents.subspan(s * length, static_cast<std::size_t>(length));
    }
    reference::Attention<double>(c.attention, rows(q), 0, documents, element(rows(k)), element(rows(v)),
                                 RowsOf<double>(out).Slice(s * length, length), {});
  }
  return out;
}

inline DoubleMatrix Plus(DoubleMatrix x, const DoubleMatrix& y) {
  for (std::size_t i = 0; i < x.span().size(); ++i) x.span()[i] += y.span()[i];
  return x;
}

inline DoubleMatrix Forward(const ReferenceBlock& block, const ReferenceContext& c, const DoubleMatrix& x) {
  const DoubleMatrix normed = Normed(x, block.attention_norm, c.norm_epsilon);
  const DoubleMatrix attended = Attended(c, Turned(c, block.q.Forward(normed)),
                                         Turned(c, block.k.Forward(normed)), block.v.Forward(normed));
  const DoubleMatrix middle = Plus(block.o.Forward(attended), x);

  const DoubleMatrix mlp_normed = Normed(middle, block.mlp_norm, c.norm_epsilon);
  DoubleMatrix hidden(x.rows(), block.gate.weight.rows());
  reference::SwiGlu<double>(block.gate.Forward(mlp_normed), block.up.Forward(mlp_normed), hidden);
  return Plus(block.down.Forward(hidden), middle);
}

}  // namespace longspan::oracle
